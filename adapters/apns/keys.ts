import { createPrivateKey, type KeyObject } from "node:crypto";
import { PeykError } from "../../src/protocol/errors.ts";
import { checkKinds, type KindsOf } from "../../src/protocol/fields.ts";
import { isAppName } from "../../src/protocol/target.ts";
import type { ServiceClient } from "../push_service/client.ts";
import { Lane } from "./lane.ts";
import { ProviderToken } from "./provider_token.ts";

/** Apple's two worlds: "sandbox" for builds that Xcode installs, "production" for TestFlight and the App Store. */
export type ApnsEnvironment = "production" | "sandbox";

/** A token signing key, as made at developer.apple.com under Keys, and what it is for. */
export interface ApnsKey {
  /** The text of the .p8 file: a P-256 key as PKCS#8 in PEM. */
  key: string;
  /** The key's id, 10 characters. */
  keyId: string;
  /** The id of the team that the key is of, 10 characters. */
  teamId: string;
  /** The apps that are reached with it, 1 at least. */
  bundleIds: readonly string[];
  /** Where it may be used. Default both: a key may be made for one alone. */
  environments?: readonly ApnsEnvironment[];
}

const KEY_KINDS: KindsOf<ApnsKey> = { key: "any", keyId: "any", teamId: "any", bundleIds: "any", environments: "any" };
const ENDPOINT_KINDS: KindsOf<Record<ApnsEnvironment, string>> = { production: "text", sandbox: "text" };

/** The lanes of all keys. */
export interface Lanes {
  /** All bundle ids. */
  readonly apps: readonly string[];
  /** Undefined where no key is for them. */
  of(app: string | undefined, environment?: ApnsEnvironment): Lane | undefined;
}

const HOSTS: Readonly<Record<ApnsEnvironment, string>> = {
  production: "https://api.push.apple.com",
  sandbox: "https://api.sandbox.push.apple.com",
};

/**
 * The keys, checked, and a lane for each key and environment.
 * @throws {PeykError} `bad-config`, `bad-url`. No text in them is of a key
 */
export function lanesOf(
  { keys, endpoints, allowLoopback }: {
    keys: readonly ApnsKey[];
    endpoints?: Readonly<Partial<Record<ApnsEnvironment, string>>>;
    allowLoopback?: boolean;
  },
  client: ServiceClient,
): Lanes {
  if (!Array.isArray(keys) || keys.length === 0) throw fault("keys", "none", "Give one entry for each key.");
  checkKinds(endpoints ?? {}, ENDPOINT_KINDS, "endpoints");
  const origins = {
    production: originOf("production", endpoints?.production, allowLoopback),
    sandbox: originOf("sandbox", endpoints?.sandbox, allowLoopback),
  };
  // A key may stand in several entries: the service counts how often its token is renewed, so it has one token.
  const signers = new Map<string, { text: string; teamId: string; token: ProviderToken }>();
  const lanes = new Map<string, Lane>();
  const routes: Readonly<Record<ApnsEnvironment, Map<string, Lane>>> = { production: new Map(), sandbox: new Map() };
  for (const [index, entry] of keys.entries()) {
    const at = `keys[${index}]`;
    const { key, keyId, teamId, bundleIds, environments } = checkedEntry(entry, at);
    const signer = signers.get(keyId) ?? { text: entry.key, teamId, token: new ProviderToken({ key, keyId, teamId }) };
    signers.set(keyId, signer);
    if (signer.text !== entry.key || signer.teamId !== teamId) {
      throw fault(`${at}.keyId`, "given before with another key or team", "A key id names one key of one team.");
    }
    for (const environment of environments) {
      const name = `${environment} ${teamId} ${keyId}`;
      const lane = lanes.get(name) ?? new Lane({ name, origin: origins[environment], token: signer.token, client });
      lanes.set(name, lane);
      for (const bundleId of bundleIds) {
        if (routes[environment].has(bundleId)) {
          throw fault(`${at}.bundleIds`, `${bundleId} has two keys for the ${environment} environment`, "Leave one of them out.");
        }
        routes[environment].set(bundleId, lane);
      }
    }
  }
  return {
    apps: [...new Set(keys.flatMap(({ bundleIds }) => bundleIds))],
    of: (app, environment = "production") => routes[environment].get(app ?? ""),
  };
}

function checkedEntry(entry: ApnsKey, at: string): Omit<Required<ApnsKey>, "key"> & { key: KeyObject } {
  checkKinds(entry, KEY_KINDS, at);
  const { keyId, teamId, bundleIds, environments = ["production", "sandbox"] } = entry;
  if (!isTenCharacters(keyId)) throw fault(`${at}.keyId`, "not of 10 letters and digits", "It is in the name of the .p8 file.");
  if (!isTenCharacters(teamId)) {
    throw fault(`${at}.teamId`, "not of 10 letters and digits", "It is at developer.apple.com, under Membership.");
  }
  if (!Array.isArray(bundleIds) || bundleIds.length === 0 || !bundleIds.every(isBundleId)) {
    throw fault(`${at}.bundleIds`, "not a list of bundle ids", 'Such as ["org.example.app"]: letters, digits, dots and hyphens.');
  }
  const isKnown = Array.isArray(environments) && environments.length > 0 &&
    environments.every((environment) => Object.hasOwn(HOSTS, environment));
  if (!isKnown) throw fault(`${at}.environments`, "not a list of production and sandbox", "Leave it out for both.");
  return {
    key: signingKey(entry.key, `${at}.key`),
    keyId,
    teamId,
    bundleIds: [...new Set(bundleIds)],
    environments: [...new Set(environments)],
  };
}

function isTenCharacters(id: unknown): boolean {
  return typeof id === "string" && /^[A-Z0-9]{10}$/i.test(id);
}

function isBundleId(id: unknown): boolean {
  return isAppName(id) && /^[A-Za-z0-9.-]+$/.test(id);
}

/** Without a cause: the parser's message may hold what it was given. */
function signingKey(text: unknown, at: string): KeyObject {
  const hint = "Give the text of the .p8 file as it is, its line breaks too.";
  if (typeof text !== "string" || !text.includes("-----BEGIN PRIVATE KEY-----")) throw fault(at, "not a PKCS#8 key in PEM", hint);
  const key = parsed(text);
  if (key === undefined) throw fault(at, "can't be read", hint);
  if (key.asymmetricKeyType !== "ec" || key.asymmetricKeyDetails?.namedCurve !== "prime256v1") {
    throw fault(at, "not a P-256 key", "Apple's keys for push notifications are: is it a key of another service?");
  }
  return key;
}

function parsed(text: string): KeyObject | undefined {
  try {
    return createPrivateKey({ key: text, format: "pem" });
  } catch {
    return undefined;
  }
}

function originOf(environment: ApnsEnvironment, text: string | undefined, allowLoopback = false): string {
  const at = `endpoints.${environment}`;
  const bad = (why: string): PeykError =>
    new PeykError("bad-url", `${at}: ${why}`, { hint: "Give an origin, such as https://localhost:2197, or leave it out." });
  const url = URL.parse(text ?? HOSTS[environment]);
  if (url === null) throw bad("not a URL");
  if (url.protocol !== "https:" && !(allowLoopback && url.protocol === "http:")) throw bad("not https");
  if (url.href !== `${url.origin}/`) throw bad("more than an origin");
  return url.origin;
}

function fault(at: string, why: string, hint: string): PeykError {
  return new PeykError("bad-config", `${at}: ${why}`, { hint });
}
