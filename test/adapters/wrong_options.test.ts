import { Buffer } from "node:buffer";
import { describe, expect, test } from "vitest";
import { createEngine, memory, type PeykError } from "../../mod.ts";
import { apns } from "../../adapters/apns.ts";
import { vapidPair } from "../../adapters/cli/vapid_pair.ts";
import { serveDeno } from "../../adapters/deno.ts";
import { fcm } from "../../adapters/fcm.ts";
import { jetstream } from "../../adapters/jetstream/jetstream.ts";
import { nats } from "../../adapters/nats/nats.ts";
import { serveNode, upgradeHandler } from "../../adapters/node.ts";
import { sqlite } from "../../adapters/sqlite/sqlite.ts";
import { webPush } from "../../adapters/web_push.ts";
import { verifyWebhook, webhook } from "../../adapters/webhook.ts";
import { fakeKey } from "../apns/fake_apns.ts";
import { serviceAccount } from "../fcm/account.ts";

const connection = { flush() {}, isClosed: () => false } as never;
const acceptor = { accept: () => ({}), refused() {}, maxFrameBytes: 65_536 } as never;
const server = { on() {}, listeners: () => [], listenerCount: () => 0, prependListener() {}, emit() {} } as never;
const { key, keyId, teamId } = fakeKey();
const apnsKey = { key, keyId, teamId, bundleIds: ["org.example.app"] };
const account = serviceAccount("https://oauth2.example.org");
const vapid = vapidPair();

/** Each call with options that are in order, beside which one is not. */
const calls = {
  memory: (wrong: object) => memory({ ...wrong }),
  "memory's retention": (wrong: object) => memory({ retention: { ...wrong } }),
  sqlite: (wrong: object) => sqlite("peyk.db", { ...wrong }),
  "sqlite's retention": (wrong: object) => sqlite("peyk.db", { retention: { ...wrong } }),
  nats: (wrong: object) => nats({ connection, storage: memory(), ...wrong }),
  jetstream: (wrong: object) => jetstream({ connection, ...wrong }),
  "jetstream's retention": (wrong: object) => jetstream({ connection, retention: { ...wrong } }),
  webhook: (wrong: object) => webhook({ url: "https://push.example.org/", secret: "s".repeat(32), ...wrong }),
  apns: (wrong: object) => apns({ keys: [apnsKey], ...wrong }),
  "a key of apns": (wrong: object) => apns({ keys: [{ ...apnsKey, ...wrong }] }),
  "apns' endpoints": (wrong: object) => apns({ keys: [apnsKey], endpoints: { ...wrong } }),
  fcm: (wrong: object) => fcm({ serviceAccount: account, ...wrong }),
  "fcm with projects": (wrong: object) => fcm({ projects: [{ serviceAccount: account }], ...wrong }),
  "a project of fcm": (wrong: object) => fcm({ projects: [{ serviceAccount: account, ...wrong }] }),
  webPush: (wrong: object) =>
    webPush({ subject: "mailto:push@example.org", keys: [vapid], url: "https://example.org/", ...wrong }),
  "a key of webPush": (wrong: object) =>
    webPush({ subject: "mailto:push@example.org", keys: [{ ...vapid, ...wrong }], url: "https://example.org/" }),
  serveNode: (wrong: object) => serveNode(acceptor, server, { ...wrong }),
  upgradeHandler: (wrong: object) => upgradeHandler(acceptor, { ...wrong }),
  serveDeno: (wrong: object) => serveDeno(acceptor, { ...wrong }),
} satisfies Record<string, (wrong: object) => unknown>;
type Call = keyof typeof calls;

function faultOf(call: () => unknown): PeykError {
  try {
    call();
  } catch (error) {
    return error as PeykError;
  }
  throw new Error("it was taken");
}

test.each(Object.keys(calls) as Call[])("%s takes what is in order, and fields that are undefined", (name) => {
  calls[name]({ colour: undefined });
});

test.each<[Call, object, string]>([
  ["memory", { retentions: {} }, "retention"],
  ["memory's retention", { maxEntry: 5 }, "maxEntries"],
  ["sqlite", { retension: {} }, "retention"],
  ["sqlite's retention", { idempotencyMS: 5 }, "idempotencyMs"],
  ["nats", { prefx: "peyk" }, "prefix"],
  ["jetstream", { replica: 3 }, "replicas"],
  ["jetstream's retention", { idempotenceMs: 500 }, "idempotencyMs"],
  ["webhook", { timeoutMS: 5 }, "timeoutMs"],
  ["webhook", { allowLoopBack: true }, "allowLoopback"],
  ["apns", { timeout: 5 }, "timeoutMs"],
  ["apns", { endpoint: {} }, "endpoints"],
  ["a key of apns", { bundleId: "org.example.app" }, "bundleIds"],
  ["apns' endpoints", { sandBox: "https://localhost" }, "sandbox"],
  ["fcm", { pushesPerSeconds: 5 }, "pushesPerSecond"],
  ["fcm", { project: [] }, "projects"],
  ["fcm with projects", { contents: "none" }, "content"],
  ["a project of fcm", { app: ["a"] }, "apps"],
  ["webPush", { extraOrigin: [] }, "extraOrigins"],
  ["a key of webPush", { keyID: "a" }, "keyId"],
  ["serveNode", { pth: "/peyk" }, "path"],
  ["upgradeHandler", { origin: [] }, "origins"],
  ["serveDeno", { trustProxies: true }, "trustProxy"],
])("%s refuses the misspelt %j, and names the nearest", (name, wrong, nearest) => {
  expect(faultOf(() => calls[name](wrong))).toMatchObject({
    code: "bad-config",
    retryable: false,
    message: expect.stringContaining(`has no field "${Object.keys(wrong)[0]}"`),
    hint: expect.stringContaining(`Did you mean "${nearest}"?`),
  });
});

test("options of fcm's one project have no effect beside a list of projects, and are refused there", () => {
  expect(faultOf(() => calls["fcm with projects"]({ android: "data" }))).toMatchObject({
    code: "bad-config",
    message: 'fcm with projects has no field "android"',
  });
});

describe("a value of another kind is refused, and its field is named", () => {
  const numbers: unknown[] = ["5", true, [5], {}, NaN, null];
  const texts: unknown[] = [5, true, {}, [], () => 1, null];
  const flags: unknown[] = ["true", 1, {}, null];
  const lists: unknown[] = ["a", 5, {}, null];
  const objects: unknown[] = ["a", 5, [], null];
  const table: [Call, string, unknown[]][] = [
    ["memory", "retention", objects],
    ["memory's retention", "maxEntries", [...numbers, 0, -1, 1.5, Infinity]],
    ["memory's retention", "idempotencyMs", [...numbers, -1]],
    ["sqlite", "retention", objects],
    ["sqlite's retention", "maxEntries", [...numbers, 0, -1, 1.5, Infinity]],
    ["sqlite's retention", "idempotencyMs", [...numbers, -1]],
    ["nats", "prefix", texts],
    ["nats", "connection", [null, "nats://127.0.0.1", Promise.resolve({})]],
    ["nats", "storage", [null, "peyk.db", () => 1]],
    ["jetstream", "connection", [null, "nats://127.0.0.1", Promise.resolve({})]],
    ["jetstream", "name", [...texts, "", "a b"]],
    ["jetstream", "replicas", [...numbers, 0, 2, 7]],
    ["jetstream", "partitions", [...numbers, 0, 65, 1.5]],
    ["jetstream", "maxBytes", [...numbers, 0, -5, 100]],
    ["jetstream", "sync", [...texts, "never"]],
    ["jetstream", "retention", objects],
    ["jetstream's retention", "idempotencyMs", [...numbers, 0, -1, 99]],
    ["webhook", "secret", [...texts, "", "short"]],
    ["webhook", "apps", lists],
    ["webhook", "content", texts],
    ["webhook", "allowLoopback", flags],
    ["webhook", "allowPrivate", flags],
    ["webhook", "timeoutMs", [...numbers, 0, -1, 1.5, 120_001, Infinity]],
    ["apns", "keys", [...lists, []]],
    ["apns", "content", texts],
    ["apns", "timeoutMs", [...numbers, 0, 120_001]],
    ["apns", "endpoints", objects],
    ["apns", "ca", texts],
    ["apns", "allowLoopback", flags],
    ["a key of apns", "key", [...texts, "", Buffer.from(key)]],
    ["a key of apns", "keyId", [...texts, ""]],
    ["a key of apns", "teamId", [...texts, ""]],
    ["a key of apns", "bundleIds", [...lists, [], [5]]],
    ["a key of apns", "environments", [...lists, [], ["test"]]],
    ["apns' endpoints", "sandbox", texts],
    ["fcm", "serviceAccount", [5, true, null, "", "{"]],
    ["fcm", "apps", [...lists, []]],
    ["fcm", "android", [...texts, "ios"]],
    ["fcm", "pushesPerSecond", [...numbers, 0, -1, 1_000_001, Infinity]],
    ["fcm", "content", texts],
    ["fcm", "timeoutMs", [...numbers, 0, 120_001]],
    ["fcm", "origin", texts],
    ["fcm", "allowLoopback", flags],
    ["fcm", "ca", texts],
    ["fcm", "projects", [...lists, []]],
    ["webPush", "subject", [...texts, ""]],
    ["webPush", "keys", [...lists, []]],
    ["webPush", "url", texts],
    ["webPush", "title", [...texts, ""]],
    ["webPush", "extraOrigins", lists],
    ["webPush", "maxBytes", [...numbers, 511, 3_994, 600.5]],
    ["webPush", "apps", lists],
    ["webPush", "content", texts],
    ["webPush", "allowLoopback", flags],
    ["webPush", "timeoutMs", [...numbers, 0, 120_001]],
    ["webPush", "ca", texts],
    ["a key of webPush", "publicKey", [...texts, ""]],
    ["a key of webPush", "privateKey", [...texts, ""]],
    ["a key of webPush", "keyId", [...texts, ""]],
    ["serveNode", "path", [...texts, "", "peyk", "/a?b"]],
    ["serveNode", "origins", ["https://example.org", 5, {}, null, [5], ["example.org"]]],
    ["upgradeHandler", "trustProxy", [5, {}, null, ["x"]]],
    ["serveDeno", "path", texts],
  ];
  test.each(table)("%s: %s", (name, field, values) => {
    for (const value of values) {
      const { code, message, hint } = faultOf(() => calls[name]({ [field]: value }));
      expect({ code, message }, String(value)).toEqual({ code: "bad-config", message: expect.stringContaining(field) });
      expect(hint, message).toMatch(/./);
    }
  });
});

test.each<[string, () => unknown]>([
  ["memory", () => memory(5 as never)],
  ["sqlite's options", () => sqlite("peyk.db", "x" as never)],
  ["sqlite's path", () => sqlite(undefined as never)],
  ["sqlite's path as an option", () => sqlite({ path: "peyk.db" } as never)],
  ["sqlite's path as a URL", () => sqlite(new URL("file:///tmp/peyk.db") as never)],
  ["nats", () => nats(undefined as never)],
  ["jetstream", () => jetstream(undefined as never)],
  ["jetstream, a connection alone", () => jetstream(connection)],
  ["webhook", () => webhook("https://push.example.org/" as never)],
  ["apns", () => apns(undefined as never)],
  ["apns, a key alone", () => apns(apnsKey as never)],
  ["apns, a list that holds none", () => apns({ keys: [null] } as never)],
  ["fcm", () => fcm(undefined as never)],
  ["fcm, the account alone", () => fcm(account as never)],
  ["fcm, a list that holds none", () => fcm({ projects: [null] } as never)],
  ["webPush", () => webPush([] as never)],
  [
    "webPush, a list that holds none",
    () => webPush({ subject: "mailto:push@example.org", keys: [null], url: "https://example.org/" } as never),
  ],
  ["serveNode", () => serveNode(acceptor, server, "/peyk" as never)],
  ["upgradeHandler", () => upgradeHandler(acceptor, null as never)],
])("other things than options are bad-config with a hint: %s", (_, call) => {
  expect(faultOf(call)).toMatchObject({ code: "bad-config", hint: expect.stringMatching(/./) });
});

test("a provider of one's own whose apps are no list is refused", async () => {
  const push = [{ name: "own", apps: "org.example.app", send: () => Promise.resolve({ verdict: "sent" }) }] as never;
  await expect(createEngine({ insecure: true, push })).rejects.toMatchObject({
    code: "bad-config",
    message: expect.stringContaining('apps of the push provider "own"'),
  });
});

test("no error repeats a secret that stands in the wrong place", () => {
  const secret = "s3cr3t-s3cr3t-s3cr3t";
  for (
    const call of [
      () => calls.webhook({ timeoutMs: secret }),
      () => calls.webhook({ apps: secret }),
      () => calls.apns({ keys: secret }),
      () => calls.fcm({ serviceAccount: secret }),
      () => calls["a key of webPush"]({ privateKey: secret }),
    ]
  ) {
    const { message, hint, cause } = faultOf(call);
    expect(`${message} ${hint} ${String(cause)}`).not.toContain(secret);
  }
});

test("a receiver of webhooks that is set up wrong hears it, whatever came", () => {
  const request = { headers: {}, body: "{}", secret: "s".repeat(16) };
  expect(verifyWebhook(request)).toBeUndefined();
  expect(verifyWebhook({ ...request, body: new Uint8Array() })).toBeUndefined();
  for (
    const wrong of [{ secret: undefined }, { secret: 5 }, { toleranceMs: NaN }, { toleranceMs: -1 }, { body: {} }, {
      body: undefined,
    }]
  ) {
    expect(faultOf(() => verifyWebhook({ ...request, ...wrong } as never))).toMatchObject({
      code: "bad-config",
      message: expect.stringContaining(Object.keys(wrong)[0]!),
      hint: expect.stringMatching(/./),
    });
  }
});

test("seconds and milliseconds that stand for each other are told, where a number can't be meant", async () => {
  await expect(createEngine({ insecure: true, heartbeatMs: 25 })).rejects.toMatchObject({
    code: "bad-config",
    hint: expect.stringContaining("Milliseconds"),
  });
  const engine = await createEngine({ insecure: true });
  await expect(engine.publish({ to: "sara", ttl: 30 * 24 * 3600_000 })).rejects.toMatchObject({
    code: "bad-message",
    hint: expect.stringContaining("Seconds"),
  });
  await engine.close();
});
