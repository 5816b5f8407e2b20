// What is asked of any replica, with time that stands still and answers that come or do not; then with a real server.
import { afterAll, beforeAll, expect, test } from "vitest";
import { createManualClock, type ManualClock } from "../../adapters/conformance/conformance.ts";
import type { JetStreamConnection, JetStreamMessage } from "../../adapters/jetstream/jetstream.ts";
import { type Batch, Replicas } from "../../adapters/jetstream/replicas.ts";
import { PeykError } from "../../src/protocol/errors.ts";
import { type NatsServer, startServer } from "../nats/servers.ts";
import { createEar, publish, startNode, until } from "./stage.ts";
import type { TestConnection } from "./state_stage.ts";

interface Asked {
  readonly subject: string;
  readonly body: unknown;
  answer(code: number, data?: string, pending?: number): void;
}

interface Servers {
  readonly clock: ManualClock;
  readonly replicas: Replicas;
  readonly asked: Asked[];
  /** Answers that somebody waits for. */
  readonly open: number;
}

function createServers(): Servers {
  const clock = createManualClock();
  const waiting = new Map<string, (message: JetStreamMessage) => void>();
  const asked: Asked[] = [];
  const inbox = {
    open(answered: (message: JetStreamMessage) => void) {
      const subject = `inbox.${asked.length}`;
      waiting.set(subject, answered);
      return subject;
    },
    forget: (subject: string) => void waiting.delete(subject),
  };
  const link = {
    hasEnded: false,
    send(subject: string, bytes: Uint8Array, { reply }: { reply: string }) {
      let count = 0;
      const answer = (code: number, data = "", pending = 0): void => {
        const fields = {
          "Nats-Last-Sequence": count,
          "Nats-Sequence": code === 0 ? ++count : "",
          "Nats-Num-Pending": pending,
        } as Record<string, unknown>;
        const headers = { code, get: (name: string) => `${fields[name] ?? ""}` };
        waiting.get(reply)?.({ subject: reply, data: new TextEncoder().encode(data), headers });
      };
      asked.push({ subject, body: JSON.parse(new TextDecoder().decode(bytes)), answer });
      return true;
    },
  };
  const replicas = new Replicas({ inbox, link } as unknown as ConstructorParameters<typeof Replicas>[0], clock);
  return {
    ...{ clock, replicas, asked },
    get open() {
      return waiting.size;
    },
  };
}

/** What a batch holds. */
function textsOf({ messages }: Batch): string[] {
  return messages.map(({ data }) => new TextDecoder().decode(data));
}

const EMPTY = 404;
const END = 204;

test("a batch ends with what the replica says about the rest", async () => {
  const { replicas, asked, clock, open } = createServers();
  const read = replicas.read("LOG", "news", 7, 2);
  await clock.settle();
  expect(asked[0]).toMatchObject({ subject: "$JS.API.DIRECT.GET.LOG", body: { batch: 2, seq: 7, next_by_subj: "news" } });
  asked[0]!.answer(0, "a");
  asked[0]!.answer(0, "b");
  asked[0]!.answer(END, "", 3);
  const batch = await read;
  expect([textsOf(batch), batch.more, clock.timers, open]).toEqual([["a", "b"], true, 0, 0]);
});

test("a question that gets lost is asked again, and the answer that comes first is taken whole", async () => {
  const servers = createServers();
  const { replicas, asked, clock } = servers;
  const read = replicas.read("LOG", "news", 1, 10);
  await clock.advance(299);
  expect(asked.length).toBe(1);
  await clock.advance(1);
  expect(asked.length).toBe(2);
  asked[1]!.answer(0, "from the second");
  asked[0]!.answer(0, "from the first");
  asked[1]!.answer(END);
  const batch = await read;
  expect([textsOf(batch), batch.more, clock.timers, servers.open]).toEqual([["from the second"], false, 0, 0]);
});

test("a late answer to the first question is as good", async () => {
  const { replicas, asked, clock } = createServers();
  const read = replicas.read("LOG", "news", 1, 10);
  await clock.advance(300);
  asked[0]!.answer(EMPTY);
  expect(textsOf(await read)).toEqual([]);
});

test("an answer that is coming in is not asked for again", async () => {
  const { replicas, asked, clock } = createServers();
  const read = replicas.read("LOG", "news", 1, 10);
  for (let part = 0; part < 5; part++) {
    await clock.advance(200);
    asked[0]!.answer(0, `${part}`);
  }
  expect(asked.length).toBe(1);
  asked[0]!.answer(END);
  expect(textsOf(await read)).toEqual(["0", "1", "2", "3", "4"]);
});

test("once a question got lost, those after it are asked again sooner, until none did for a while", async () => {
  const { replicas, asked, clock } = createServers();
  const waitOf = async (): Promise<number> => {
    const before = asked.length;
    const read = replicas.read("LOG", "news", 1, 10);
    await clock.settle();
    let waited = 0;
    for (; asked.length === before + 1; waited += 10) await clock.advance(10);
    asked[before]!.answer(EMPTY);
    await read;
    return waited;
  };
  expect(await waitOf()).toBe(300);
  const lost = replicas.read("LOG", "news", 1, 10);
  await clock.advance(300);
  asked.at(-1)!.answer(EMPTY);
  await lost;
  expect(await waitOf()).toBe(40);
  await clock.advance(10_000);
  expect(await waitOf()).toBe(300);
});

test("servers that are too busy to answer are not asked much more than before", async () => {
  const { replicas, asked, clock } = createServers();
  const reads = Array.from({ length: 200 }, () => replicas.read("LOG", "news", 1, 10));
  await clock.advance(1_000);
  expect(asked.length).toBe(200 + 32);
  asked.forEach(({ answer }) => answer(EMPTY));
  await Promise.all(reads);
  // What was asked again has its answer, so others may be asked again.
  void replicas.read("LOG", "news", 1, 10);
  await clock.advance(300);
  expect(asked.length).toBe(200 + 32 + 2);
});

test("nobody answers: it is `unavailable`, and may be tried again", async () => {
  const servers = createServers();
  const read = servers.replicas.read("LOG", "news", 1, 10).catch((error) => error);
  await servers.clock.advance(15_000);
  expect(await read).toMatchObject({ code: "unavailable", retryable: true });
  expect([servers.clock.timers, servers.open]).toEqual([0, 0]);
});

test("closing ends what waits, and what comes after", async () => {
  const servers = createServers();
  const { replicas, clock } = servers;
  const read = replicas.read("LOG", "news", 1, 10).catch((error) => error);
  await clock.settle();
  replicas.close(new PeykError("closed", "over"));
  expect(await read).toMatchObject({ code: "closed" });
  await expect(replicas.read("LOG", "news", 1, 10)).rejects.toMatchObject({ code: "closed" });
  expect([clock.timers, servers.open]).toEqual([0, 0]);
});

let server: NatsServer;
let names = 0;
beforeAll(async () => void (server = await startServer({ jetstream: true })));
afterAll(() => server.close());

/** A connection on which some of what is sent gets lost. */
function losing(lost: (subject: string) => boolean): (connection: TestConnection) => JetStreamConnection {
  return (connection) =>
    new Proxy<JetStreamConnection>(connection, {
      get(target, key) {
        if (key === "publish") {
          return (subject: string, payload: Uint8Array, options: object) => {
            if (!lost(subject)) connection.publish(subject, payload, options);
          };
        }
        const value = Reflect.get(target, key);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
}

test("one entry is read, and the head, while no replica answers but the leader", async () => {
  const name = `replicas_${++names}`;
  let asked = 0;
  const lost = (subject: string): boolean => subject.startsWith("$JS.API.DIRECT.GET.") && ++asked > 0;
  await using node = await startNode(server.url, { name }, undefined, losing(lost));
  for (const text of ["1", "2", "3"]) await publish(node, "*/news", text);
  const page = await node.history.read("*/news", 1, 1);
  expect([page.entries.map(({ offset }) => offset), page.through, page.head.offset, asked]).toEqual([[2], 2, 3, 0]);
  expect(await node.history.read("*/news", 3, 1)).toMatchObject({ entries: [], through: 3, head: { offset: 3 } });
});

test("a page is read though every question but each third gets lost", async () => {
  const name = `replicas_${++names}`;
  let asked = 0;
  const lost = (subject: string): boolean => subject.startsWith("$JS.API.DIRECT.GET.") && ++asked % 3 !== 0;
  await using node = await startNode(server.url, { name }, undefined, losing(lost));
  for (let index = 1; index <= 20; index++) await publish(node, "*/news", `${index}`);
  const { entries } = await node.history.read("*/news", 0, 50);
  expect(entries.map(({ offset }) => offset)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
});

test("entries come in order, each once, while no consumer can be made and when one can be again", async () => {
  const name = `replicas_${++names}`;
  const consumers: string[] = [];
  let losses = false;
  const lost = (subject: string): boolean => {
    if (!subject.startsWith(`$JS.API.CONSUMER.CREATE.${name}_LOG_0.tail-`)) return false;
    consumers.push(subject.split(".").at(-1)!);
    return losses;
  };
  await using node = await startNode(server.url, { name }, undefined, losing(lost));
  const ear = createEar();
  await node.transport.subscribe("*/news", ear);
  await publish(node, "*/news", "1");
  await until(() => ear.entries.length === 1);
  losses = true;
  node.connection.publish(`$JS.API.CONSUMER.DELETE.${name}_LOG_0.${consumers[0]}`);
  await until(() => consumers.length > 1);
  for (const text of ["2", "3"]) await publish(node, "*/news", text);
  await publish(node, "*/noise", "elsewhere");
  await publish(node, "*/news", "4");
  await until(() => ear.entries.length === 4);
  losses = false;
  const tries = consumers.length;
  await until(() => consumers.length > tries);
  await publish(node, "*/news", "5");
  await until(() => ear.entries.length === 5);
  expect(ear.texts).toEqual(["1", "2", "3", "4", "5"]);
  expect(ear.entries.map(({ previous }) => previous)).toEqual([0, 1, 2, 3, 5]);
  expect(ear.gaps).toBe(0);
});
