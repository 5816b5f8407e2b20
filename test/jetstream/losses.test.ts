import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { JetStreamConnection, JetStreamMessage } from "../../adapters/jetstream/jetstream.ts";
import { type NatsServer, startServer } from "../nats/servers.ts";
import { createEar, publish, startNode, until } from "./stage.ts";
import type { TestConnection } from "./state_stage.ts";

let server: NatsServer;
let places = 0;
let name: string;

beforeAll(async () => {
  server = await startServer({ jetstream: true });
});
afterAll(() => server.close());
beforeEach(() => void (name = `losses_${++places}`));

/** A connection on which some of what is sent changes, or some of what comes is lost. */
interface Spoiled {
  sent?(subject: string, payload: Uint8Array): { subject: string; payload: Uint8Array } | undefined;
  /** @param later brings it after all */
  lost?(message: JetStreamMessage, later: () => void): boolean;
}

function spoiling({ sent, lost }: Spoiled): (connection: TestConnection) => JetStreamConnection {
  return (connection) =>
    new Proxy<JetStreamConnection>(connection, {
      get(target, key) {
        if (key === "publish") {
          return (subject: string, payload: Uint8Array, options: object) => {
            const changed = sent === undefined ? { subject, payload } : sent(subject, payload);
            if (changed !== undefined) connection.publish(changed.subject, changed.payload, options);
          };
        }
        if (key === "subscribe") {
          return (subject: string, { callback }: { callback(error: Error | null, message: JetStreamMessage): void }) =>
            connection.subscribe(subject, {
              callback: (error, message) => {
                if (error !== null || !lost?.(message, () => callback(null, message))) callback(error, message);
              },
            });
        }
        const value = Reflect.get(target, key);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
}

test("an entry that is lost on its way is brought again, in its place", async () => {
  let losses = 0;
  // A tail's entries come under their own subjects, answers do not.
  const lost = ({ subject, reply }: JetStreamMessage) =>
    subject.startsWith(`${name}.log.`) && reply!.includes(".30.") && losses++ === 0;
  await using node = await startNode(server.url, { name }, undefined, spoiling({ lost }));
  const ear = createEar();
  await node.transport.subscribe("*/news", ear);
  for (let index = 1; index <= 60; index++) await publish(node, "*/news", `${index}`);
  await until(() => ear.entries.length === 60);
  expect(losses).toBeGreaterThan(0);
  expect(ear.texts).toEqual(Array.from({ length: 60 }, (_, index) => `${index + 1}`));
  expect(ear.entries.map(({ previous }) => previous)).toEqual(Array.from({ length: 60 }, (_, index) => index));
  expect(ear.gaps).toBe(0);
});

test("the last entry that is lost on its way is noticed though none comes after it", async () => {
  let losses = 0;
  const lost = ({ subject }: JetStreamMessage) => subject.startsWith(`${name}.log.`) && losses++ === 0;
  await using node = await startNode(server.url, { name }, undefined, spoiling({ lost }));
  const ear = createEar();
  await node.transport.subscribe("*/news", ear);
  await publish(node, "*/news", "only");
  await until(() => ear.entries.length === 1);
  expect(losses).toBe(2);
});

test("an answer that is lost is asked for again, and the entry is stored once and called no duplicate", async () => {
  let losses = 0;
  const decoder = new TextDecoder();
  const lost = ({ data }: JetStreamMessage) => decoder.decode(data).startsWith(`{"stream":"${name}_LOG_0"`) && losses++ === 0;
  await using node = await startNode(server.url, { name }, undefined, spoiling({ lost }));
  const { position, duplicate } = await publish(node, "*/news", "text");
  expect([position?.offset, duplicate, losses]).toEqual([1, false, 2]);
  expect((await node.history.read("*/news", 0, 10)).entries.length).toBe(1);
});

test("what a replica lacks that lags behind comes from the leader", async () => {
  // It answers as if it had none of the entries yet.
  const sent = (subject: string, payload: Uint8Array) => {
    if (!subject.startsWith("$JS.API.DIRECT.GET.")) return { subject, payload };
    const asked = JSON.parse(new TextDecoder().decode(payload));
    return { subject, payload: new TextEncoder().encode(JSON.stringify({ ...asked, seq: asked.seq + 1_000 })) };
  };
  await using node = await startNode(server.url, { name }, undefined, spoiling({ sent }));
  await using sound = await startNode(server.url, { name });
  for (let index = 0; index < 10; index++) await publish(node, index % 2 === 0 ? "*/news" : "*/noise", `${index}`, `${index}`);
  await publish(node, "*/news", "expires", "expires", 1);
  await until(async () => (await sound.history.read("*/news", 0, 10)).expired === 1);
  for (const limit of [2, 5, 10]) {
    expect(await node.history.read("*/news", 0, limit)).toEqual(await sound.history.read("*/news", 0, limit));
  }
});

test("an entry is not taken for expired because a new leader, which has not applied it yet, does not find it", async () => {
  // The head was told by the former one.
  let behind = true;
  let asked = 0;
  const sent = (subject: string, payload: Uint8Array) => {
    if (!behind || !/DIRECT\.GET|MSG\.GET/.test(subject)) return { subject, payload };
    const body = JSON.parse(new TextDecoder().decode(payload));
    if (!("next_by_subj" in body)) return { subject, payload };
    if (++asked === 4) behind = false;
    return { subject, payload: new TextEncoder().encode(JSON.stringify({ ...body, seq: body.seq + 1_000 })) };
  };
  await using other = await startNode(server.url, { name });
  await publish(other, "*/news", "text");
  for (const limit of [1, 10]) {
    [behind, asked] = [true, 0];
    await using node = await startNode(server.url, { name }, undefined, spoiling({ sent }));
    const { entries, through, expired } = await node.history.read("*/news", 0, limit);
    expect([entries.length, through, expired]).toEqual([1, 1, 0]);
    expect(asked).toBe(4);
  }
});

test.each([["first", "1"], ["middle", "2"], ["last", "3"]])(
  "a page whose %s entry is lost on its way is read again",
  async (_, lostOne) => {
    let losses = 0;
    const lost = ({ headers }: JetStreamMessage): boolean =>
      headers?.get("Nats-Num-Pending") !== "" && headers?.get("Nats-Sequence") === lostOne && losses++ === 0;
    await using node = await startNode(server.url, { name }, undefined, spoiling({ lost }));
    for (let index = 1; index <= 3; index++) await publish(node, "*/news", `${index}`, `${index}`);
    const { entries, through } = await node.history.read("*/news", 0, 10);
    expect([entries.map(({ offset }) => offset), through]).toEqual([[1, 2, 3], 3]);
    expect(losses).toBeGreaterThan(0);
  },
);

test("a leader that lacks what this node was told of is asked again", async () => {
  let behind = false;
  let asked = 0;
  const sent = (subject: string, payload: Uint8Array) => {
    if (behind && /DIRECT\.GET|MSG\.GET/.test(subject) && asked++ < 6) {
      const body = JSON.parse(new TextDecoder().decode(payload));
      for (const key of ["last_by_subj", "next_by_subj"]) if (key in body) body[key] = `${name}.log.0.no.body`;
      return { subject, payload: new TextEncoder().encode(JSON.stringify(body)) };
    }
    return { subject, payload };
  };
  await using node = await startNode(server.url, { name }, undefined, spoiling({ sent }));
  const ear = createEar();
  const { close } = await node.transport.subscribe("*/news", ear);
  await publish(node, "*/news", "text");
  await until(() => ear.entries.length === 1);
  const expectWhole = async (): Promise<void> => {
    asked = 0;
    behind = true;
    const { entries, head } = await node.history.read("*/news", 0, 10);
    expect([entries.length, head.offset]).toEqual([1, 1]);
    expect(asked).toBeGreaterThan(6);
  };
  await expectWhole();
  // What work named counts too, where nobody subscribes.
  close();
  behind = false;
  let checked: Promise<void> | undefined;
  await node.work.consume(() => checked ??= expectWhole());
  await until(() => checked !== undefined);
  await checked;
});

test("entries that overtake the answer about the head wait for it, and join it", async () => {
  let answer: (() => void) | undefined;
  let holding = false;
  const lost = ({ data }: JetStreamMessage, later: () => void) => {
    if (!holding || !new TextDecoder().decode(data).includes("stream_msg_get_response")) return false;
    answer = later;
    return true;
  };
  await using node = await startNode(server.url, { name }, undefined, spoiling({ lost }));
  await using other = await startNode(server.url, { name });
  const mark = createEar();
  await node.transport.subscribe("*/mark", mark);
  for (const text of ["1", "2", "3"]) await publish(other, "*/news", text);
  await publish(other, "*/mark", "before");
  await until(() => mark.entries.length === 1);
  const ear = createEar();
  holding = true;
  const subscribing = node.transport.subscribe("*/news", ear);
  await until(() => answer !== undefined);
  holding = false;
  for (const text of ["4", "5"]) await publish(other, "*/news", text);
  await publish(other, "*/mark", "after");
  await until(() => mark.entries.length === 2);
  expect(ear.texts).toEqual([]);
  answer!();
  const { head } = await subscribing;
  expect(head.offset).toBe(3);
  await publish(other, "*/news", "6");
  await until(() => ear.entries.length === 3);
  expect(ear.entries.map(({ offset, previous }) => [offset, previous])).toEqual([[5, 3], [6, 5], [8, 6]]);
});
