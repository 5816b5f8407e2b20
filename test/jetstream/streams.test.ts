import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { jetstream } from "../../adapters/jetstream/jetstream.ts";
import { logStream } from "../../adapters/jetstream/log_format.ts";
import { type NatsServer, startServer } from "../nats/servers.ts";
import { clients, context, type Line, startNode } from "./stage.ts";
import type { TestConnection } from "./state_stage.ts";

let server: NatsServer;
let connection: TestConnection;

beforeAll(async () => {
  server = await startServer({ jetstream: ["max_file_store: 64MB"] });
  connection = await clients["transport-node 3.4"]!(server.url);
});
afterAll(async () => {
  await connection.close();
  await server.close();
});

async function ask<Answer>(verb: string, body: unknown = {}): Promise<Answer> {
  const bytes = new TextEncoder().encode(JSON.stringify(body));
  const { data } = await connection.request(`$JS.API.${verb}`, bytes, { timeout: 5_000 });
  return JSON.parse(new TextDecoder().decode(data));
}

/** What opening says against it. */
async function complaint(to: TestConnection, options: Partial<Parameters<typeof jetstream>[0]>): Promise<unknown> {
  try {
    await (await jetstream({ connection: to, ...options }).open(context())).close();
  } catch (error) {
    const { name, code, retryable, message, hint } = error as Record<string, unknown>;
    return { name, code, retryable, message, hint };
  }
  throw new Error("it opened");
}

const bad = { name: "PeykError", code: "bad-config", retryable: false, hint: expect.stringMatching(/./) };

test("an option that makes no sense is refused before anything is asked", () => {
  const options = [
    { name: "" },
    { name: "a.b" },
    { name: "a b" },
    { name: "*" },
    { name: "x".repeat(33) },
    { replicas: 2 as 3 },
    { partitions: 0 },
    { partitions: 65 },
    { partitions: 1.5 },
    { maxBytes: 0 },
    { maxBytes: NaN },
    { sync: "never" as "always" },
    { retention: { idempotencyMs: 99 } },
    { connection: {} as TestConnection },
  ];
  for (const option of options) {
    expect(() => jetstream({ connection, ...option }), JSON.stringify(option)).toThrow(expect.objectContaining(bad));
  }
});

test("streams are made once, found again with their epoch, and kept apart by name", async () => {
  const position = async (name: string) => {
    await using node = await startNode(server.url, { name });
    return (await node.transport.subscribe("sara/default", { entry() {}, gap() {} })).head;
  };
  const first = await position("made");
  expect(await position("made")).toEqual(first);
  expect((await position("made2")).epoch).not.toBe(first.epoch);
});

test("nodes that start at once find the streams that the first of them made", async () => {
  const nodes = await Promise.all(Array.from({ length: 5 }, () => startNode(server.url, { name: "at_once", partitions: 3 })));
  const heads = await Promise.all(nodes.map(async ({ transport }) => {
    return (await transport.subscribe("*/news", { entry() {}, gap() {} })).head;
  }));
  expect(new Set(heads.map(({ epoch }) => epoch)).size).toBe(1);
  await Promise.all(nodes.map((node) => node[Symbol.asyncDispose]()));
});

describe("one clear error says", () => {
  test("that the server is too old", async () => {
    await using old = await startServer({ floor: true, jetstream: true });
    for (const connect of Object.values(clients)) {
      const own = await connect(old.url);
      expect(await complaint(own, {})).toEqual({
        ...bad,
        message: expect.stringMatching(/nats-server 2\.9\.\d+ is too old.* 2\.12/),
      });
      await own.close();
    }
  });

  test("that JetStream is disabled", async () => {
    await using plain = await startServer();
    for (const connect of Object.values(clients)) {
      const own = await connect(plain.url);
      expect(await complaint(own, {})).toMatchObject({ name: "PeykError", hint: expect.stringMatching(/jetstream/i) });
      await own.close();
    }
  });

  test("that the account has no JetStream", async () => {
    const accounts = [
      "accounts { A { jetstream: enabled, users: [{user: a, password: a}] }, B { users: [{user: b, password: b}] } }",
    ];
    await using shared = await startServer({ jetstream: true, config: accounts });
    const own = await clients["transport-node 3.4"]!(shared.url, { user: "b", pass: "b" });
    expect(await complaint(own, {})).toMatchObject({ ...bad, message: expect.stringMatching(/JetStream/) });
    await own.close();
  });

  test("that the connection is closed", async () => {
    for (const connect of Object.values(clients)) {
      const own = await connect(server.url);
      await own.close();
      expect(await complaint(own, {})).toMatchObject({ name: "PeykError", code: "unavailable" });
    }
  });

  test("that a stream of that name is somebody else's", async () => {
    await ask("STREAM.CREATE.other_LOG_0", { name: "other_LOG_0", subjects: ["other.>"] });
    expect(await complaint(connection, { name: "other" })).toEqual({
      ...bad,
      message: expect.stringMatching(/other_LOG_0.*not one of Peyk's/),
    });
  });

  test("that the subjects are somebody else's", async () => {
    await ask("STREAM.CREATE.TAKEN", { name: "TAKEN", subjects: ["taken.>"] });
    expect(await complaint(connection, { name: "taken" })).toEqual({
      ...bad,
      message: expect.stringMatching(/overlap/),
      hint: expect.stringMatching(/these subjects/),
    });
  });

  test("what a stream was made with, and what is asked for now", async () => {
    await (await startNode(server.url, { name: "differs", partitions: 2 }))[Symbol.asyncDispose]();
    const before = await ask<{ config: unknown }>("STREAM.INFO.differs_LOG_0");
    for (
      const [option, said] of [
        [{ partitions: 3 }, "partitions is 2, not 3"],
        [{ maxBytes: 2_000_000 }, "max_bytes is -1, not 1000000"],
        [{ retention: { idempotencyMs: 1_000 } }, "duplicate_window is 3600000000000, not 1000000000"],
      ] as const
    ) {
      const retention = { idempotencyMs: 3600_000 };
      expect(await complaint(connection, { name: "differs", partitions: 2, retention, ...option }))
        .toEqual({ ...bad, message: expect.stringContaining(said) });
    }
    expect((await ask<{ config: unknown }>("STREAM.INFO.differs_LOG_0")).config).toEqual(before.config);
  });

  for (const [age, format, hint] of [["newer", "9", /Update Peyk/], ["older", "6", /another name/]] as const) {
    test(`that a version that is ${age} made the stream, in which nothing is changed`, async () => {
      const [name, stream] = [age, `${age}_LOG_0`];
      const metadata = { "peyk-format": format, "peyk-epoch": "7", "peyk-partitions": "1" };
      await ask(`STREAM.CREATE.${stream}`, { name: stream, subjects: [`${name}.log.0.*.*`], metadata });
      await connection.request(`${name}.log.0.sara.default`, new TextEncoder().encode("what is in it"), { timeout: 5_000 });
      const before = await ask<{ config: unknown; state: { messages: number } }>(`STREAM.INFO.${stream}`);
      expect(before.state.messages).toBe(1);
      const said = await complaint(connection, { name });
      expect(said).toMatchObject({ code: "storage-version", retryable: false });
      expect(said).toMatchObject({
        message: expect.stringMatching(`${stream}.* ${age} version`),
        hint: expect.stringMatching(hint),
      });
      const { config, state } = await ask<typeof before>(`STREAM.INFO.${stream}`);
      expect({ config, state }).toEqual({ config: before.config, state: before.state });
      const { streams } = await ask<{ streams: string[] }>("STREAM.NAMES");
      expect(streams.filter((other) => other.startsWith(`${name}_`))).toEqual([stream]);
    });
  }

  test("that replicas need as many servers", async () => {
    expect(await complaint(connection, { name: "replicated", replicas: 3 })).toEqual({
      ...bad,
      message: expect.stringMatching(/replicas/),
    });
  });

  test("that there is less room than asked for", async () => {
    expect(await complaint(connection, { name: "large", maxBytes: 1_000_000_000 })).toMatchObject({
      name: "PeykError",
      code: "storage-full",
      hint: expect.stringMatching(/maxBytes/),
    });
  });

  test("that the user may not use the API", async () => {
    const user = `{ user: u, password: u, permissions: { publish: ["peyk.>"], subscribe: ["_INBOX.>", "peyk.>"] } }`;
    await using guarded = await startServer({ jetstream: true, config: [`authorization { users: [${user}] }`] });
    for (const connect of Object.values(clients)) {
      const own = await connect(guarded.url, { user: "u", pass: "u" });
      expect(await complaint(own, {})).toMatchObject({ ...bad, message: expect.stringMatching(/may not/) });
      await own.close();
    }
  });
});

test("publishes are stored by a majority, and on disk only where the option says that all servers sync always", async () => {
  const said = async (sync: { sync?: "interval" | "always" }): Promise<string[]> => {
    const lines: Line[] = [];
    const storage = await jetstream({ connection, name: "synced", ...sync }).open(context(lines));
    const options = { key: "key", expiresAt: Date.now() + 60_000 };
    const { durability } = await storage.transport.publish("a/b", Uint8Array.of(1), options);
    expect(storage.transport.durable).toBe(true);
    await storage.close();
    return [durability, ...lines.map(({ message }) => message)];
  };
  for (const sync of [{}, { sync: "interval" } as const]) {
    expect(await said(sync)).toEqual(["majority", expect.stringMatching(/power loss can cost/)]);
  }
  expect(await said({ sync: "always" })).toEqual(["disk", expect.stringMatching(/synced to disk by one server.*as the option/)]);
});

test("a server tells its monitoring port how it syncs, and nothing that an engine may ask", async () => {
  await using always = await startServer({ jetstream: ["sync_interval: always"] });
  const varz = await always.ask<{ jetstream: { config: { sync_always: boolean } } }>("varz");
  expect(varz!.jetstream.config.sync_always).toBe(true);
  const own = await clients["transport-node 3.4"]!(always.url);
  await (await jetstream({ connection: own }).open(context())).close();
  const answers = [own.info];
  for (const verb of ["INFO", `STREAM.INFO.${logStream("peyk", 0)}`]) {
    const { data } = await own.request(`$JS.API.${verb}`, new Uint8Array(), { timeout: 5_000 });
    answers.push(JSON.parse(new TextDecoder().decode(data)));
  }
  expect(answers).toMatchObject([{ jetstream: true }, { api: {} }, { config: { num_replicas: 1 } }]);
  // The day this fails, the adapter can learn it here instead of by its option.
  expect(JSON.stringify(answers)).not.toMatch(/sync/);
  await expect(own.request("$SYS.REQ.SERVER.PING.JSZ", new Uint8Array(), { timeout: 5_000 })).rejects.toThrow(/no responders/i);
  await own.close();
});

test("a stream whose server answers before it writes is refused", async () => {
  await (await jetstream({ connection, name: "async" }).open(context())).close();
  const { config } = await ask<{ config: { name: string } }>(`STREAM.INFO.${logStream("async", 0)}`);
  await ask(`STREAM.DELETE.${config.name}`);
  await ask(`STREAM.CREATE.${config.name}`, { ...config, persist_mode: "async" });
  expect(await complaint(connection, { name: "async" })).toMatchObject({
    ...bad,
    message: expect.stringMatching(/persist_mode is "async"/),
  });
});

test("says at open what a power loss can cost", async () => {
  const lines: Line[] = [];
  const own = await clients["transport-node 3.4"]!(server.url);
  await (await jetstream({ connection: own, name: "durable" }).open(context(lines))).close();
  await own.close();
  expect(lines.filter(({ level }) => level === "info").map(({ message }) => message)).toEqual([
    expect.stringMatching(/one server.*power loss.*sync_interval/),
  ]);
  expect(lines.filter(({ level }) => level !== "info")).toEqual([]);
});
