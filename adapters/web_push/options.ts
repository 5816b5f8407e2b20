import { PeykError } from "../../src/protocol/errors.ts";
import { checkKinds, type KindsOf } from "../../src/protocol/fields.ts";
import { MAX_MESSAGE_BYTES } from "./encrypt.ts";
import { checkSubject, type VapidKey, VapidSigner } from "./vapid.ts";

/** Who sends, by which keys, and what stands in where a message says nothing. */
export interface WebPushOptions {
  /** Whom push services turn to when something is wrong: a `mailto:` or `https:` address that is real, else Apple refuses all. */
  subject: string;
  /**
   * 1-16 pairs. Browsers are to subscribe with the first. The others sign for targets that were registered with their `keyId`: leave
   * a former pair here until its targets have registered again.
   */
  keys: readonly VapidKey[];
  /** Where the app lives: what a tap opens where the notification has no `url` of its own, and what relative URLs start from. */
  url: string;
  /** Stands in where a notification has no title: browsers show none without. 1-256 characters. Default "New message". */
  title?: string;
  /**
   * Origins of push services that are sent to beside those of the browsers, for example a UnifiedPush server:
   * `https://push.example.org`.
   */
  extraOrigins?: readonly string[];
  /**
   * The longest message, bytes before it is encrypted; of a longer one the words are left out. 512-3,993. Default 3,993, the most that
   * services take. Firefox on Android gets 2,641 at most, and which targets are on it can't be told.
   */
  maxBytes?: number;
  /** The apps whose targets are taken, see `PushProvider.apps`. Default: all, and targets that name none. */
  apps?: readonly string[];
  /** "none": pushes hold ids and no words, see `PushProvider.content`. Default "full". */
  content?: "full" | "none";
  /** Allows `extraOrigins` on this machine, and http to them: for development. Default false. */
  allowLoopback?: boolean;
  /** How long one request may take, milliseconds from 1 to 120,000. Default 10,000. */
  timeoutMs?: number;
  /** A certificate authority to trust, PEM: for services of your own. */
  ca?: string;
}

/** Options that were checked, with what absent ones stand for. */
export interface WebPushSettings {
  /** By their keyId. The first one is for clients to subscribe with. */
  signers: ReadonlyMap<string, VapidSigner>;
  url: string;
  title: string;
  maxBytes: number;
  extraOrigins: ReadonlySet<string>;
  allowLoopback: boolean;
}

const WEB_PUSH_KINDS: KindsOf<WebPushOptions> = {
  ...{ subject: "text", keys: "any", url: "text", title: "any", extraOrigins: "list", maxBytes: "number", apps: "list" },
  ...{ content: "text", allowLoopback: "flag", timeoutMs: "number", ca: "text" },
};
const KEY_KINDS: KindsOf<VapidKey> = { publicKey: "any", privateKey: "any", keyId: "text" };
const MAX_KEYS = 16;
const MAX_TITLE = 256;
const MAX_URL = 1_024;
const MIN_MESSAGE_BYTES = 512;

/** @throws {PeykError} `bad-config`, `bad-url`; no error repeats a key */
export function checkedOptions(options: WebPushOptions): WebPushSettings {
  checkKinds(options, WEB_PUSH_KINDS, "webPush");
  const { subject, keys, title = "New message", maxBytes = MAX_MESSAGE_BYTES, allowLoopback = false } = options;
  checkSubject(subject);
  const signers = signersOf(subject, keys);
  const url = checkedUrl(options.url);
  checkText("title", title, MAX_TITLE);
  const extraOrigins = new Set((options.extraOrigins ?? []).map((origin) => checkedOrigin(origin, allowLoopback)));
  checkNumber("maxBytes", maxBytes, MIN_MESSAGE_BYTES, MAX_MESSAGE_BYTES);
  return { signers, url, title, maxBytes, extraOrigins, allowLoopback };
}

function signersOf(subject: string, keys: readonly VapidKey[]): ReadonlyMap<string, VapidSigner> {
  if (!Array.isArray(keys) || keys.length === 0 || keys.length > MAX_KEYS) {
    throw bad(`keys: not a list of 1-${MAX_KEYS} pairs`, "`npx peyk vapid` makes a pair.");
  }
  for (const [index, key] of keys.entries()) checkKinds(key, KEY_KINDS, `keys[${index}]`);
  const signers = new Map(keys.map((key) => new VapidSigner(subject, key)).map((signer) => [signer.keyId, signer]));
  if (signers.size < keys.length) {
    throw bad("keys: two of them have one keyId", "Each pair stands here once, under a name of its own.");
  }
  return signers;
}

function checkedUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== "https:" && url?.protocol !== "http:") {
    throw badUrl("url: not a web address", "Give the address of the app.");
  }
  if (url.href.length > MAX_URL) throw badUrl(`url: longer than ${MAX_URL} characters`, "Give the address of the app.");
  return url.href;
}

/** An origin in the form that URLs have it in. */
function checkedOrigin(text: string, allowLoopback: boolean): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isWeb = url?.protocol === "https:" || (allowLoopback && url?.protocol === "http:");
  if (url === undefined || !isWeb || url.href !== `${url.origin}/`) {
    throw badUrl("extraOrigins: not an origin with https", "Write https://push.example.org, without a path.");
  }
  return url.origin;
}

function checkText(name: string, text: unknown, most: number): void {
  if (typeof text === "string" && text.trim() !== "" && text.length <= most) return;
  throw bad(`${name}: not text of 1-${most} characters`, "Leave it out for the default.");
}

function checkNumber(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw bad(`${name}: not a whole number from ${least} to ${most}`, "Leave it out for the default.");
}

function bad(message: string, hint: string): PeykError {
  return new PeykError("bad-config", message, { hint });
}

function badUrl(message: string, hint: string): PeykError {
  return new PeykError("bad-url", message, { hint });
}
