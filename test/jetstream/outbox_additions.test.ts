import { expect, test } from "vitest";
import { user } from "../../adapters/conformance/records.ts";
import { SENDING_MS } from "../../src/ports/outbox.ts";
import { add, forgetEnd, newRow } from "./outbox_stage.ts";
import { answering, deafened, freshName, lossy, openNodes, shareServer, type StateNode, until } from "./state_stage.ts";

const { connections } = shareServer();

function at(offset: number, fields: Parameters<typeof newRow>[1] = {}): ReturnType<typeof newRow> {
  return newRow(`at ${offset}`, { position: { epoch: 5, offset }, messageId: "m", ...fields });
}

/** What the rows of message `m` stand for. */
async function rowsOf({ outbox }: StateNode): Promise<string[]> {
  return (await outbox.ofMessage("m")).map(({ id, status, after, position }) => `${id} ${status} (${after}, ${position.offset}]`)
    .sort();
}

async function due({ outbox }: StateNode, provider?: string): Promise<string[]> {
  return (await outbox.due(Infinity, 1_000, provider)).rows.map(({ id }) => id);
}

test("a row is given back as it was added, with what it may lack and without what the port does not know", async () => {
  const name = freshName();
  const [node] = await openNodes(1, connections, { name });
  const plain = newRow("plain", { messageId: "m" });
  const full = newRow("full", { messageId: "m", after: 0, collapseKey: "score", provider: "apns", dueAt: 1 });
  await add(node!, { ...plain, extra: 1 } as never, { ...full, replaces: "unknown" });
  const [other] = await openNodes(1, [connections[1]!], { name });
  for (const each of [node!, other!]) {
    const added = { status: "pending", attempts: 0, note: undefined, covers: [], changedAt: node!.clock.now() } as const;
    expect((await each.outbox.due(1, 10)).rows).toStrictEqual([{ ...plain, ...added }, { ...full, ...added }]);
  }
  await node!.close();
  await other!.close();
});

test("rows of one provider are found without those of others, and so is the time of the next", async () => {
  const [node] = await openNodes(1, connections);
  const { outbox } = node!;
  for (const provider of ["apns", "fcm"]) {
    const dueAt = provider === "apns" ? 10 : 20;
    await add(node!, ...[0, 1, 2].map((index) => newRow(`${provider} ${index}`, { provider, dueAt: dueAt + index })));
  }
  expect(await due(node!, "fcm")).toEqual(["fcm 0", "fcm 1", "fcm 2"]);
  expect(await due(node!)).toEqual(["apns 0", "apns 1", "apns 2", "fcm 0", "fcm 1", "fcm 2"]);
  expect(await outbox.due(15, 2)).toMatchObject({ rows: [{ id: "apns 0" }, { id: "apns 1" }], nextDueAt: 12 });
  expect(await outbox.due(15, 9, "fcm")).toEqual({ rows: [], nextDueAt: 20 });
  expect(await outbox.due(21, 1, "fcm")).toMatchObject({ rows: [{ id: "fcm 0" }], nextDueAt: 21 });
  expect(await outbox.due(Infinity, 9, "unknown")).toEqual({ rows: [], nextDueAt: undefined });
  await outbox.take(["fcm 0", "fcm 1", "fcm 2"]);
  expect(await outbox.due(Infinity, 9, "fcm")).toEqual({ rows: [], nextDueAt: node!.clock.now() + SENDING_MS });
  await node!.close();
});

test("what waits in a topic is counted and listed, also what a dead node took", async () => {
  const [a, b] = await openNodes(2, connections);
  const topic = "*/news";
  await add(a!, ...[0, 10, 20].map((dueAt) => newRow(`${dueAt}`, { topic, dueAt })), newRow("private"));
  await add(a!, newRow("tablet", { topic, targetId: "tablet", dueAt: 5 }), newRow("taken", { topic, dueAt: 3 }));
  await a!.outbox.take(["taken"]);
  await until(async () => await b!.outbox.waitingIn(topic, Infinity, 9) === 4, "the other node knows of them");
  const waiting = async (...targets: string[]) => (await b!.outbox.waiting(targets, topic)).map(({ id }) => id).sort();
  expect(await Promise.all([9, 10].map((dueBy) => b!.outbox.waitingIn(topic, dueBy, 9)))).toEqual([2, 3]);
  expect(await b!.outbox.waitingIn(topic, Infinity, 2)).toBe(2);
  expect(await b!.outbox.waitingIn("*/unknown", Infinity, 2)).toBe(0);
  expect(await waiting("target", "tablet", "target", "unknown")).toEqual(["0", "10", "20", "tablet"]);
  expect(await waiting("tablet")).toEqual(["tablet"]);
  expect(await waiting()).toEqual([]);
  await b!.clock.advance(SENDING_MS);
  expect(await Promise.all([2, 3].map((dueBy) => b!.outbox.waitingIn(topic, dueBy, 9)))).toEqual([1, 2]);
  expect(await waiting("target")).toEqual(["0", "10", "20", "taken"]);
  await a!.close();
  await b!.close();
});

test("a row takes the place of a pending one on every node, and stands for its entries too", async () => {
  const name = freshName();
  const [a] = await openNodes(1, connections, { name });
  let opened = false;
  // Nothing is delivered to this one after its start: it has to ask for the row.
  const isDelivery = ({ reply }: { reply?: string }): boolean => reply?.startsWith("$JS.ACK.") ?? false;
  const [deaf] = await openNodes(1, [deafened(connections[1]!, (message) => !(opened && isDelivery(message)))], { name });
  opened = true;
  await add(a!, at(3));
  await add(deaf!, at(5, { replaces: "at 3" }));
  expect(await rowsOf(deaf!)).toEqual(["at 5 pending (2, 5]"]);
  await until(async () => (await rowsOf(a!)).join() === "at 5 pending (2, 5]", "the other node hears of it");
  // The lower one of both counts.
  await add(a!, at(9, { replaces: "at 5", after: 7 }));
  await add(a!, at(12, { replaces: "at 9", after: 1 }));
  expect(await rowsOf(a!)).toEqual(["at 12 pending (1, 12]"]);
  expect(await a!.outbox.take(["at 3", "at 5", "at 9"])).toEqual([]);
  // It is as if it had never been there.
  await add(a!, at(3));
  expect(await due(a!)).toEqual(expect.arrayContaining(["at 3", "at 12"]));
  await a!.outbox.settle(["at 3"], "dropped", "");
  await add(a!, at(3));
  expect((await rowsOf(a!)).slice(0, 2)).toEqual(["at 12 pending (1, 12]", "at 3 dropped (undefined, 3]"]);
  // What comes with it can be replaced as well.
  await add(a!, at(20), at(21, { replaces: "at 20" }), at(22, { replaces: "at 21" }), at(23, { replaces: "at 21" }));
  expect(await rowsOf(a!)).toEqual([
    ...["at 12 pending (1, 12]", "at 22 pending (19, 22]", "at 23 pending (undefined, 23]", "at 3 dropped (undefined, 3]"],
  ]);
  const [late] = await openNodes(1, connections, { name });
  expect(await due(late!)).toEqual(await due(a!));
  for (const node of [a!, deaf!, late!]) await node.close();
});

test("a row that was taken or has ended stays, and the new one is added as it is", async () => {
  const name = freshName();
  const [a] = await openNodes(1, connections, { name });
  let between: (() => Promise<unknown>) | undefined;
  const late = answering(connections[1]!, async (...what) => {
    const first = what[0].startsWith(`${name}.st.u.`) ? between : undefined;
    if (first !== undefined) between = undefined;
    await first?.();
    return await connections[1]!.request(...what);
  });
  let deaf = false;
  const [b] = await openNodes(1, [deafened(late, ({ reply }) => !(deaf && reply?.startsWith("$JS.ACK.")))], { name });
  await add(a!, at(1), at(2), at(3), at(4));
  await a!.outbox.take(["at 1"]);
  await a!.outbox.settle(["at 2"], "sent", "201");
  await until(async () => (await b!.outbox.due(0, 10)).rows.length === 2, "the other node knows of it");
  await add(b!, at(11, { replaces: "at 1" }), at(12, { replaces: "at 2" }), at(10, { replaces: "at 0" }));
  const before = ["at 10 pending (undefined, 10]", "at 11 pending (undefined, 11]", "at 12 pending (undefined, 12]"];
  const ended = ["at 1 sending (undefined, 1]", ...before, "at 2 sent (undefined, 2]"];
  expect(await rowsOf(b!)).toEqual([...ended, "at 3 pending (undefined, 3]", "at 4 pending (undefined, 4]"]);
  // Another node takes one while the put is on its way, and this one does not hear of it.
  deaf = true;
  between = () => a!.outbox.take(["at 3"]);
  await add(b!, at(13, { replaces: "at 3" }), at(14, { replaces: "at 4" }));
  expect(between).toBeUndefined();
  expect(await rowsOf(b!)).toEqual([
    ...["at 1 sending (undefined, 1]", ...before, "at 13 pending (undefined, 13]", "at 14 pending (3, 14]"],
    ...["at 2 sent (undefined, 2]", "at 3 sending (undefined, 3]"],
  ]);
  await a!.close();
  await b!.close();
});

test("a put that is repeated removes nothing, and neither does one that another node was faster than", async () => {
  const name = freshName();
  const [a, b] = await openNodes(2, connections, { name });
  await add(a!, at(1), at(2));
  const stale = (await b!.users.get("sara"))!;
  await add(a!, at(11, { replaces: "at 1" }));
  expect(await b!.users.put(stale, "both", [at(12, { replaces: "at 2" })])).toBeUndefined();
  expect(await rowsOf(a!)).toEqual(["at 11 pending (0, 11]", "at 2 pending (undefined, 2]"]);
  for (const node of [a!, b!]) {
    await add(node, at(11, { replaces: "at 2" }));
    expect(await rowsOf(node)).toEqual(["at 11 pending (0, 11]", "at 2 pending (undefined, 2]"]);
  }
  // Nor when the row has ended, and all that its place remembers has left.
  await b!.outbox.settle(["at 11"], "sent", "201");
  for (const forget of [false, true]) {
    if (forget) await forgetEnd(connections[0]!, name, "at 11");
    for (const node of [a!, b!]) await add(node, at(11, { replaces: "at 2" }));
    expect(await rowsOf(a!)).toEqual(["at 11 sent (0, 11]", "at 2 pending (undefined, 2]"]);
  }
  await a!.close();
  await b!.close();
});

test("a put with rows whose answer was lost finds them, and what they took the place of is gone", async () => {
  const name = freshName();
  let losing = false;
  const flaky = lossy(connections[1]!, { answer: (subject) => losing && subject.includes(".u.") && !(losing = false) });
  let deaf = false;
  const partial = deafened(flaky, ({ reply }) => !(deaf && reply?.startsWith("$JS.ACK.")));
  const [node] = await openNodes(1, [partial], { name });
  await add(node!, at(1));
  deaf = true;
  losing = true;
  await add(node!, at(2, { replaces: "at 1" }));
  expect(losing).toBe(false);
  expect(await rowsOf(node!)).toEqual(["at 2 pending (0, 2]"]);
  expect(await due(node!)).toEqual(["at 2"]);
  await node!.close();
});

test("a put adds no row that a decision has added meanwhile, and that was taken", async () => {
  const name = freshName();
  const [a] = await openNodes(1, connections, { name });
  let between: (() => Promise<unknown>) | undefined;
  const late = answering(connections[1]!, async (...what) => {
    const first = what[0].startsWith(`${name}.st.u.`) ? between : undefined;
    if (first !== undefined) between = undefined;
    await first?.();
    return await connections[1]!.request(...what);
  });
  const [b] = await openNodes(1, [late], { name });
  between = async () => {
    await a!.outbox.decide({ topic: "*/news", version: 0, epoch: 5, decided: 1, goal: 1 }, [at(1)]);
    await a!.outbox.take(["at 1"]);
  };
  expect(await b!.users.put(user("sara"), "both", [at(1), at(2)])).toBeDefined();
  expect(between).toBeUndefined();
  await until(async () => (await rowsOf(a!)).length === 2, "the other row is there");
  for (const node of [a!, b!]) {
    expect(await rowsOf(node)).toEqual(["at 1 sending (undefined, 1]", "at 2 pending (undefined, 2]"]);
  }
  await a!.close();
  await b!.close();
});
