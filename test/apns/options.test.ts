import { generateKeyPairSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { apns, type ApnsKey, type ApnsOptions } from "../../adapters/apns.ts";
import { PeykError } from "../../src/protocol/errors.ts";
import { app, deviceToken } from "./stage.ts";
import { fakeKey } from "./fake_apns.ts";

const { key, keyId, teamId } = fakeKey();
const entry: ApnsKey = { key, keyId, teamId, bundleIds: [app] };
const other = fakeKey("KEY0000002", "TEAM000002");
const secondEntry: ApnsKey = { key: other.key, keyId: other.keyId, teamId: other.teamId, bundleIds: [app] };
const pem = { type: "pkcs8", format: "pem" } as const;

/** The fault of a configuration, as code and message. */
function fault(options: unknown): string {
  try {
    apns(options as ApnsOptions);
  } catch (error) {
    expect(error).toBeInstanceOf(PeykError);
    const { code, message, hint, cause } = error as PeykError;
    expect(hint).toBeTruthy();
    // The parser's words may hold the key.
    expect(cause).toBeUndefined();
    expect(`${message} ${hint}`).not.toContain(key.split("\n")[1]);
    return `${code} ${message}`;
  }
  return "none";
}

const one = (changes: Record<string, unknown>) => fault({ keys: [{ ...entry, ...changes }] });

describe("a configuration that can't be right is refused at the start", () => {
  test.each<[string, unknown, string]>([
    ["no keys", {}, "bad-config keys: none"],
    ["an empty list", { keys: [] }, "bad-config keys: none"],
    ["no time", { keys: [entry], timeoutMs: 0 }, "bad-config timeoutMs: not a whole number from 1 to 120000"],
    [
      "two keys for an app",
      { keys: [entry, secondEntry] },
      `bad-config keys[1].bundleIds: ${app} has two keys for the production environment`,
    ],
    [
      "two keys for an app in one environment",
      { keys: [{ ...entry, environments: ["sandbox"] }, secondEntry] },
      `bad-config keys[1].bundleIds: ${app} has two keys for the sandbox environment`,
    ],
    [
      "one id for two keys",
      { keys: [entry, { ...entry, key: other.key, bundleIds: ["b"] }] },
      "bad-config keys[1].keyId: given before with another key or team",
    ],
    [
      "one id for two teams",
      { keys: [entry, { ...entry, teamId: other.teamId, bundleIds: ["b"] }] },
      "bad-config keys[1].keyId: given before with another key or team",
    ],
    [
      "an endpoint that is no URL",
      { keys: [entry], endpoints: { sandbox: "localhost" } },
      "bad-url endpoints.sandbox: not a URL",
    ],
    [
      "an endpoint without TLS",
      { keys: [entry], endpoints: { production: "http://localhost:1" } },
      "bad-url endpoints.production: not https",
    ],
    [
      "an endpoint with a path",
      { keys: [entry], endpoints: { production: "https://example.org/x" } },
      "bad-url endpoints.production: more than an origin",
    ],
    [
      "an endpoint with a password",
      { keys: [entry], endpoints: { production: "https://u:p@example.org" } },
      "bad-url endpoints.production: more than an origin",
    ],
  ])("%s", (_, options, expected) => expect(fault(options)).toBe(expected));

  const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey;
  const p256 = generateKeyPairSync("ec", { namedCurve: "P-256" });
  test.each<[string, unknown, string]>([
    ["no key", undefined, "not a PKCS#8 key in PEM"],
    ["a file's name", "AuthKey_KEY0000001.p8", "not a PKCS#8 key in PEM"],
    ["bytes", new TextEncoder().encode(key), "not a PKCS#8 key in PEM"],
    ["a public key", p256.publicKey.export({ type: "spki", format: "pem" }), "not a PKCS#8 key in PEM"],
    ["another form of a private key", p256.privateKey.export({ type: "sec1", format: "pem" }), "not a PKCS#8 key in PEM"],
    ["line breaks that are written out", key.replaceAll("\n", "\\n"), "can't be read"],
    ["a damaged key", key.replace("\nM", "\nA"), "can't be read"],
    ["another curve", p384.export(pem), "not a P-256 key"],
    ["an RSA key", generateKeyPairSync("rsa", { modulusLength: 2_048 }).privateKey.export(pem), "not a P-256 key"],
  ])("%s", (_, text, expected) => expect(one({ key: text })).toBe(`bad-config keys[0].key: ${expected}`));

  test.each([undefined, 7, "", "KEY1", "KEY00000012", "KEY000000\n", key])("an id that is no id (%#)", (id) => {
    expect(one({ keyId: id })).toBe("bad-config keys[0].keyId: not of 10 letters and digits");
    expect(one({ teamId: id })).toBe("bad-config keys[0].teamId: not of 10 letters and digits");
  });

  test.each([undefined, [], app, [""], ["org.example.app*"], ["org example"], [7], ["a".repeat(129)]])(
    "bundle ids that are none (%#)",
    (bundleIds) => {
      expect(one({ bundleIds })).toBe("bad-config keys[0].bundleIds: not a list of bundle ids");
    },
  );

  test.each([[[]], [["development"]], ["sandbox"], [["toString"]]])("environments that are none (%#)", (environments) => {
    expect(one({ environments })).toBe("bad-config keys[0].environments: not a list of production and sandbox");
  });
});

describe("several apps, keys and teams", () => {
  const sandboxKey = fakeKey("KEY0000003", teamId);
  const provider = apns({
    keys: [
      { ...entry, bundleIds: [app, "org.example.second"], environments: ["production"] },
      { ...entry, key: sandboxKey.key, keyId: sandboxKey.keyId, environments: ["sandbox"] },
      { ...secondEntry, bundleIds: ["com.example.third", "com.example.third"] },
      { ...secondEntry, bundleIds: ["com.example.fourth"], environments: ["sandbox", "sandbox"] },
    ],
    content: "none",
  });

  test("are named, each once", () => {
    expect(provider.apps).toEqual([app, "org.example.second", "com.example.third", "com.example.fourth"]);
    expect([provider.name, provider.content]).toEqual(["apns", "none"]);
  });

  test("share a lane where they share environment, team and key", () => {
    const lane = (name: string, environment?: "sandbox" | "production") =>
      provider.lane!({ token: deviceToken, app: name, ...environment && { environment } });
    expect([lane(app), lane(app, "production"), lane("org.example.second")]).toEqual(
      Array(3).fill("production TEAM000001 KEY0000001"),
    );
    expect(lane(app, "sandbox")).toBe("sandbox TEAM000001 KEY0000003");
    expect([lane("com.example.third"), lane("com.example.third", "sandbox"), lane("com.example.fourth", "sandbox")]).toEqual([
      "production TEAM000002 KEY0000002",
      "sandbox TEAM000002 KEY0000002",
      "sandbox TEAM000002 KEY0000002",
    ]);
    expect(lane("unknown")).toBe("no key");
  });

  test("take the targets that they have a key for", () => {
    const wrong = (changes: Record<string, unknown>) => provider.targetFault!({ token: deviceToken, app, ...changes });
    expect(wrong({})).toBeUndefined();
    expect(wrong({ environment: "sandbox" })).toBeUndefined();
    expect(wrong({ token: deviceToken.toUpperCase() })).toBeUndefined();
    expect([wrong({ token: "ab".repeat(32) }), wrong({ token: "ab".repeat(100) })]).toEqual([undefined, undefined]);
    for (
      const token of ["", "ab".repeat(31), "ab".repeat(101), `${"ab".repeat(31)}zz`, `${deviceToken}\n`, `../${deviceToken}`]
    ) {
      expect(wrong({ token })).toBe("the token is not of 64-200 hexadecimal digits");
    }
    expect([wrong({ app: undefined }), wrong({ app: "unknown" })]).toEqual(Array(2).fill("no key is set up for its app"));
    expect(wrong({ app: "org.example.second", environment: "sandbox" })).toBe("the app has no key for the sandbox environment");
    expect(wrong({ app: "com.example.fourth" })).toBe("the app has no key for the production environment");
  });
});
