import { beforeEach, expect, test } from "vitest";
import { createManualClock, type ManualClock } from "../../adapters/conformance/conformance.ts";
import { user } from "../../adapters/conformance/records.ts";
import type { JetStreamConnection } from "../../adapters/jetstream/jetstream.ts";
import { tokenOf } from "../../adapters/nats/subjects.ts";
import {
  altered,
  clients,
  createContext,
  deafened,
  freshName,
  openNode,
  shareServer,
  type StateNode,
  type TestConnection,
} from "./state_stage.ts";

// Records that are wanted at the same moment. What a lagging replica would say, the server says too when it is asked about the past.

const { connections } = shareServer();

const names = ["sara", "omid", "mina", "nobody", "user @ 5"];
const there = names.filter((name) => name !== "nobody");

/** What the node under test asked for. */
let asked: string[];
beforeEach(() => {
  asked = [];
});
const askedTogether = (): number => asked.filter((subject) => subject.includes(".DIRECT.GET.")).length;
const askedOfTheLeader = (): number => asked.filter((subject) => subject.includes(".STREAM.MSG.GET.")).length;

/** Changes the body of the questions for several documents; undefined: they are lost. */
type Spoil = (body: Record<string, unknown>) => Record<string, unknown> | undefined;

function watched(connection: JetStreamConnection, spoil: Spoil = (body) => body, version = "2.15.0"): JetStreamConnection {
  return altered(connection, {
    info: { ...connection.info!, version },
    publish(subject, payload, options) {
      asked.push(subject);
      if (!subject.includes(".DIRECT.GET.")) return connection.publish(subject, payload, options);
      const body = spoil(JSON.parse(new TextDecoder().decode(payload)));
      if (body !== undefined) connection.publish(subject, new TextEncoder().encode(JSON.stringify(body)), options);
    },
  });
}

function open(connection: JetStreamConnection, name: string, clock?: ManualClock): Promise<StateNode> {
  return openNode({ connection, name, replicas: 1, context: createContext(clock) });
}

/** Two nodes, the second one to be tested: users that the first one put, and put again. */
async function withUsers(connection: TestConnection, spoiled: JetStreamConnection, clock?: ManualClock) {
  const name = freshName();
  const [writer, node] = [await open(connection, name), await open(spoiled, name, clock)];
  for (const userId of there) await writer.users.put(user(userId), "both");
  for (const userId of there) await writer.users.put({ ...(await writer.users.get(userId))!, seenAt: 2 }, "both");
  return { writer, node, close: () => Promise.all([writer.close(), node.close()]) };
}

async function seenAt({ users }: StateNode, userIds: readonly string[] = names): Promise<(number | undefined)[]> {
  return (await Promise.all(userIds.map((userId) => users.get(userId)))).map((record) => record?.seenAt);
}

const newest = [2, 2, 2, undefined, 2];
/** Of each its devices and its positions. */
const documents = 2 * names.length;

for (const [index, client] of Object.keys(clients).entries()) {
  test(`${client}: records wanted at the same moment are read with one question, and one to the leader`, async () => {
    const { node, close } = await withUsers(connections[index]!, watched(connections[index]!));
    asked = [];
    expect(await seenAt(node)).toEqual(newest);
    expect(asked.length).toBe(2);
    expect([askedTogether(), askedOfTheLeader()]).toEqual([1, 1]);
    asked = [];
    expect(await seenAt(node, ["a", "b", "c"]), "nobody of them is there").toEqual([undefined, undefined, undefined]);
    expect([askedTogether(), askedOfTheLeader()]).toEqual([1, 1]);
    asked = [];
    expect(await Promise.all([node.users.get("sara"), node.users.get("sara")])).toMatchObject([{ seenAt: 2 }, { seenAt: 2 }]);
    expect([askedTogether(), askedOfTheLeader()], "two documents, asked for once").toEqual([0, 2]);
    await close();
  });

  test(`${client}: each part of an answer that is lost is missed`, async () => {
    let lost: string | undefined;
    const hearing = deafened(
      connections[index]!,
      ({ headers }) => lost === undefined || !headers?.get("Nats-Subject").endsWith(`.${tokenOf(lost)}`),
    );
    const { node, close } = await withUsers(connections[index]!, watched(hearing));
    for (lost of there) {
      asked = [];
      expect(await seenAt(node), `without ${lost}`).toEqual(newest);
      expect(askedTogether()).toBe(1);
      expect(askedOfTheLeader(), "each was asked for by itself").toBe(1 + documents);
    }
    await close();
  });
}

test("a replica that lags behind the leader is not believed", async () => {
  let past = 0;
  const spoil: Spoil = (body) => ({ ...body, up_to_seq: past });
  const { node, close } = await withUsers(connections[0]!, watched(connections[0]!, spoil));
  const { version } = (await node.users.get("sara"))!;
  past = version - 1;
  asked = [];
  expect(await seenAt(node)).toEqual(newest);
  expect(askedOfTheLeader(), "each was asked for by itself").toBe(1 + documents);
  await close();
});

test("a replica that lags for a moment is asked again", async () => {
  let late = 0;
  let past = 1;
  const spoil: Spoil = (body) => late-- > 0 ? { ...body, up_to_seq: past } : body;
  const { node, close } = await withUsers(connections[0]!, watched(connections[0]!, spoil));
  past = (await node.users.get("sara"))!.version;
  late = 2;
  asked = [];
  expect(await seenAt(node)).toEqual(newest);
  expect([askedTogether(), askedOfTheLeader()]).toEqual([3, 1]);
  await close();
});

test("an answer that the server cuts short is not taken for the whole", async () => {
  const { node, close } = await withUsers(connections[0]!, watched(connections[0]!, (body) => ({ ...body, max_bytes: 1 })));
  expect(await seenAt(node)).toEqual(newest);
  await close();
});

test("when no replica answers, the leader is asked, and for 10 s the replicas are not", async () => {
  const clock = createManualClock();
  let lost = true;
  const connection = watched(connections[0]!, (body) => lost ? undefined : body);
  const { node, close } = await withUsers(connections[0]!, connection, clock);
  asked = [];
  const { timers } = clock;
  const reading = seenAt(node);
  // The replicas' time begins when the leader has answered.
  await expect.poll(() => clock.timers).toBe(timers + 1);
  await clock.advance(299);
  expect([askedTogether(), askedOfTheLeader()]).toEqual([1, 1]);
  await clock.advance(1);
  expect(await reading).toEqual(newest);
  lost = false;
  asked = [];
  await clock.advance(9_999);
  expect(await seenAt(node)).toEqual(newest);
  expect([askedTogether(), askedOfTheLeader()]).toEqual([0, documents]);
  await clock.advance(1);
  expect(await seenAt(node)).toEqual(newest);
  expect(askedOfTheLeader()).toBe(documents + 1);
  // After seconds of silence the follower of the outbox begins anew and writes a mark. One that comes between the two questions
  // makes the first one be asked again; nothing else does.
  const marks = asked.filter((subject) => subject.includes(".b.")).length;
  expect(askedTogether()).toBeGreaterThanOrEqual(1);
  expect(askedTogether()).toBeLessThanOrEqual(1 + marks);
  await close();
});

test("replicas are not late while the leader has not answered either: the servers are busy", async () => {
  const clock = createManualClock();
  const held: (() => void)[] = [];
  let isBusy = false;
  const connection = watched(connections[0]!);
  const slow = altered(connection, {
    publish: (...question) => {
      if (isBusy) held.push(() => connection.publish(...question));
      else connection.publish(...question);
    },
  });
  const { node, close } = await withUsers(connections[0]!, slow, clock);
  asked = [];
  isBusy = true;
  const reading = seenAt(node);
  await expect.poll(() => held.length).toBe(2);
  await clock.advance(1_500);
  isBusy = false;
  for (const go of held) go();
  expect(await reading).toEqual(newest);
  expect(await seenAt(node)).toEqual(newest);
  expect([askedTogether(), askedOfTheLeader()]).toEqual([2, 2]);
  await close();
});

test("any number of records is read, in questions of 256", async () => {
  const { node, close } = await withUsers(connections[0]!, watched(connections[0]!));
  const many = Array.from({ length: 600 }, (_, index) => `not there ${index}`);
  asked = [];
  expect((await seenAt(node, [...many, ...names])).slice(-names.length)).toEqual(newest);
  expect([askedTogether(), askedOfTheLeader()]).toEqual([5, 5]);
  await close();
});

test("a server before 2.15, which would go through all its subjects, is asked for each record", async () => {
  const { node, close } = await withUsers(connections[0]!, watched(connections[0]!, undefined, "2.14.9"));
  asked = [];
  expect(await seenAt(node)).toEqual(newest);
  expect([askedTogether(), askedOfTheLeader()]).toEqual([0, documents]);
  await close();
});

test("what is wanted once the storage is closed is refused", async () => {
  const { node, close } = await withUsers(connections[0]!, watched(connections[0]!));
  await close();
  await expect(seenAt(node)).rejects.toMatchObject({ code: "closed" });
});
