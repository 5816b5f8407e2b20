import { expect, test } from "vitest";
import { newRow, user } from "../../adapters/conformance/records.ts";
import { type NewOutboxRow, SENDING_MS, type Take } from "../../src/ports/outbox.ts";
import { answering, deafened, freshName, lossy, openNodes, shareServer, type StateNode, until } from "./state_stage.ts";

const { connections } = shareServer();

async function add({ users }: StateNode, ...rows: NewOutboxRow[]): Promise<void> {
  expect(await users.put(await users.get("sara") ?? user("sara"), "both", rows)).toBeDefined();
}

async function due({ outbox }: StateNode, now = Infinity): Promise<string[]> {
  return (await outbox.due(now, 1_000)).rows.map(({ id }) => id);
}

/** Whether a message tells of a push, rather than answering a question. */
function isDelivery({ reply }: { reply?: string }): boolean {
  return reply?.startsWith("$JS.ACK.") ?? false;
}

test("a push that one node adds is due on the other, and gone there when it is settled", async () => {
  const name = freshName();
  const [a, b] = await openNodes(2, connections, { name });
  await add(a!, newRow("one", { dueAt: 5 }), newRow("two", { dueAt: 9 }));
  await until(async () => (await due(b!)).length === 2, "both are due on the other node");
  expect(await b!.outbox.due(5, 10)).toMatchObject({ rows: [{ id: "one", dueAt: 5 }], nextDueAt: 9 });
  await b!.outbox.settle(["one"], "sent", "201");
  expect(await due(b!)).toEqual(["two"]);
  await until(async () => (await due(a!)).length === 1, "it is settled on the first node");
  expect((await a!.outbox.ofMessage("message of one"))[0]).toMatchObject({ status: "sent", note: "201" });
  await add(a!, newRow("one"));
  expect(await due(a!)).toEqual(["two"]);
  // The same when the note of its end, which the server keeps for a moment, has left.
  const filter = new TextEncoder().encode(JSON.stringify({ filter: `${name}.st.p.sara.*`, keep: 0 }));
  await b!.outbox.settle(["two"], "sent", "201");
  await connections[0]!.request(`$JS.API.STREAM.PURGE.${name}_STATE`, filter);
  await add(a!, newRow("one"), newRow("two"), newRow("three"));
  expect(await due(a!)).toEqual(["three"]);
  await a!.close();
  await b!.close();
});

test("of rows that have ended a node that was told of them has nothing in memory, and the one that ended them hardly anything", async () => {
  const name = freshName();
  const [a, b] = await openNodes(2, connections, { name });
  const [before, beforeThere] = [a!.heldBytes(), b!.heldBytes()];
  const ids = Array.from({ length: 100 }, (_, index) => `row ${index}`);
  await add(a!, ...ids.map((id) => newRow(id)));
  await until(async () => (await due(b!)).length === ids.length, "they are due on the other node");
  expect(b!.heldBytes() - beforeThere).toBeGreaterThan(100 * 2_000);
  await a!.outbox.settle(ids, "sent", "201");
  await until(async () => (await due(b!)).length === 0, "they have ended on the other node");
  expect(b!.heldBytes()).toBe(beforeThere);
  expect(a!.heldBytes() - before).toBeLessThan(100 * 500);
  await a!.close();
  await b!.close();
});

test("of many nodes that take a push one gets it", async () => {
  const nodes = await openNodes(4, connections, { name: freshName() });
  const ids = Array.from({ length: 20 }, (_, index) => `row ${index}`);
  await add(nodes[0]!, ...ids.map((id) => newRow(id)));
  for (const node of nodes) await until(async () => (await due(node)).length === ids.length, "every node knows of them");
  const taken = await Promise.all(nodes.flatMap(({ outbox }) => [outbox.take(ids), ...ids.map((id) => outbox.take([id]))]));
  expect(taken.flat().sort()).toEqual([...ids].sort());
  for (const node of nodes) await node.close();
});

test("a node cancels what another one has just added, before it has heard of it", async () => {
  const name = freshName();
  const [a] = await openNodes(1, connections, { name });
  // Nothing is delivered to this one after its start.
  let opened = false;
  const [b] = await openNodes(1, [deafened(connections[1]!, (message) => !(opened && isDelivery(message)))], { name });
  opened = true;
  await add(a!, newRow("pending"), newRow("named"), newRow("sending"));
  await a!.outbox.take(["sending"]);
  const named = { userId: "sara", ids: ["named", "sending", "unknown"] };
  expect(await b!.outbox.underWay(named)).toBe(true);
  expect(await b!.outbox.underWay({ ...named, ids: ["named", "unknown"] })).toBe(false);
  expect((await b!.outbox.cancel(named, "read")).map(({ id }) => id)).toEqual(["named"]);
  expect((await b!.outbox.cancel({ userId: "sara" }, "revoked")).map(({ id }) => id)).toEqual(["pending"]);
  expect(await a!.outbox.take(["pending"])).toEqual([]);
  expect(await b!.outbox.take(["pending"])).toEqual([]);
  expect((await b!.outbox.ofMessage("message of pending"))[0]).toMatchObject({ status: "dropped", note: "revoked" });
  await a!.close();
  await b!.close();
});

test("to find rows by their ids nothing is listed, and a row that comes meanwhile is not forgotten", async () => {
  const name = freshName();
  const lists: string[] = [];
  let waits: (() => Promise<unknown>) | undefined;
  const watching = answering(connections[1]!, async (...what) => {
    if (what[0] === `$JS.API.STREAM.INFO.${name}_STATE`) lists.push(what[0]);
    const answer = await connections[1]!.request(...what);
    const before = what[0].startsWith("$JS.API.STREAM.MSG.GET.") ? waits : undefined;
    if (before !== undefined) {
      waits = undefined;
      await before();
    }
    return answer;
  });
  const [node] = await openNodes(1, [watching], { name });
  await add(node!, ...Array.from({ length: 20 }, (_, index) => newRow(`${index}`)));
  const record = await node!.users.get("sara");
  lists.length = 0;
  expect((await node!.outbox.cancel({ userId: "sara", ids: ["3", "17", "unknown"] }, "read")).map(({ id }) => id)).toEqual([
    ...["3", "17"],
  ]);
  expect(await node!.outbox.underWay({ userId: "sara", ids: ["5"] })).toBe(false);
  expect(await node!.outbox.cancel({ userId: "sara", ids: [] }, "read")).toEqual([]);
  expect(lists).toEqual([]);
  // The leader says that there is none, and before that is heard there is one.
  waits = () => node!.users.put(record!, "both", [newRow("new", { dueAt: -1 })]);
  expect(await node!.outbox.cancel({ userId: "sara", ids: ["new"] }, "read")).toEqual([]);
  expect(waits).toBeUndefined();
  expect(await due(node!, -1)).toEqual(["new"]);
  await node!.close();
});

test("a take and a cancel at once never both win", async () => {
  const [a, b] = await openNodes(2, connections);
  const ids = Array.from({ length: 40 }, (_, index) => `row ${index}`);
  await add(a!, ...ids.map((id) => newRow(id)));
  const [taken, dropped] = await Promise.all([
    Promise.all([a!.outbox.take(ids.slice(0, 20)), ...ids.slice(20).map((id) => a!.outbox.take([id]))]),
    b!.outbox.cancel({ userId: "sara" }, "revoked"),
  ]);
  expect([...taken.flat(), ...dropped.map(({ id }) => id)].sort()).toEqual([...ids].sort());
  await a!.close();
  await b!.close();
});

test("whatever another node does between a look and a write is respected", async () => {
  const name = freshName();
  const [a] = await openNodes(1, connections, { name });
  let between: (() => Promise<unknown>) | undefined;
  const late = answering(connections[1]!, async (...what) => {
    if (what[0].startsWith(`${name}.st.p.`)) {
      const first = between;
      between = undefined;
      await first?.();
    }
    return await connections[1]!.request(...what);
  });
  const [b] = await openNodes(1, [late], { name });
  await add(a!, ...["take", "cancel", "settle"].map((id) => newRow(id)));
  between = () => a!.outbox.take(["take"]);
  expect(await b!.outbox.take(["take"])).toEqual([]);
  between = () => a!.outbox.take(["cancel"]);
  expect((await b!.outbox.cancel({ userId: "sara" }, "why")).map(({ id }) => id)).toEqual(["settle"]);
  await add(a!, newRow("again"));
  between = () => a!.outbox.settle(["again"], "sent", "first");
  await b!.outbox.settle(["again"], "dropped", "second");
  expect((await a!.outbox.ofMessage("message of again"))[0]).toMatchObject({ status: "sent", note: "first" });
  expect((await a!.outbox.ofMessage("message of cancel"))[0]).toMatchObject({ status: "sending" });
  await a!.close();
  await b!.close();
});

test("what a dead node took is pending again after a while, and its late word changes nothing", async () => {
  const [a, b] = await openNodes(2, connections);
  await add(a!, newRow("row"));
  await a!.outbox.take(["row"]);
  // Before it knows of the row at all it has nothing to wait for either.
  const givenUpAt = b!.clock.now() + SENDING_MS;
  await until(async () => (await b!.outbox.due(0, 10)).nextDueAt === givenUpAt, "the other node knows that it was taken");
  expect(await due(b!)).toEqual([]);
  await b!.clock.advance(SENDING_MS - 1);
  expect(await due(b!)).toEqual([]);
  await b!.clock.advance(1);
  expect(await due(b!)).toEqual(["row"]);
  expect(await b!.outbox.take(["row"])).toEqual(["row"]);
  expect((await b!.outbox.ofMessage("message of row"))[0]).toMatchObject({ status: "sending", attempts: 2 });
  await a!.outbox.retry([{ id: "row", attempts: 1 }], 0, "late");
  expect(await due(b!)).toEqual([]);
  expect((await b!.outbox.ofMessage("message of row"))[0]).toMatchObject({ status: "sending", attempts: 2 });
  await a!.close();
  await b!.close();
});

test("no take, retry or settle lies about its outcome when requests and answers are lost", async () => {
  const name = freshName();
  const lost = { request: () => Math.random() < 0.15, answer: () => Math.random() < 0.2 };
  const nodes = await openNodes(2, connections.map((connection) => lossy(connection, lost)), { name });
  const ids = Array.from({ length: 30 }, (_, index) => `row ${index}`);
  await add(nodes[0]!, ...ids.map((id) => newRow(id)));
  const [some, others] = [ids.slice(0, 15), ids.slice(15)];
  const taken = await Promise.all([nodes[0]!.outbox.take(some), ...others.map((id) => nodes[1]!.outbox.take([id]))]);
  expect(taken.flat()).toEqual(ids);
  expect(await nodes[1]!.outbox.take(some)).toEqual([]);
  expect((await Promise.all(others.map((id) => nodes[0]!.outbox.take([id])))).flat()).toEqual([]);
  const takeOf = (id: string): Take => ({ id, attempts: 1 });
  await Promise.all([
    ...some.map((id) => nodes[0]!.outbox.retry([takeOf(id)], 7, "busy")),
    nodes[1]!.outbox.retry(others.map(takeOf), 7, "busy"),
  ]);
  expect((await nodes[0]!.outbox.cancel({ userId: "sara" }, "why")).map(({ id }) => id).sort()).toEqual([...ids].sort());
  expect(await nodes[1]!.outbox.cancel({ userId: "sara" }, "why")).toEqual([]);
  for (const node of nodes) await node.close();
});

test("a node that opens the outbox finds what is pending, and only that", async () => {
  const name = freshName();
  const [a] = await openNodes(1, connections, { name });
  await add(a!, ...Array.from({ length: 300 }, (_, index) => newRow(`${index}`, { dueAt: index })));
  await a!.outbox.settle(Array.from({ length: 299 }, (_, index) => `${index}`), "sent", "");
  const [b] = await openNodes(1, [connections[1]!], { name });
  expect(await due(b!)).toEqual(["299"]);
  await a!.close();
  await b!.close();
});

test("a node whose deliveries break off catches up, and forgets what ended meanwhile", async () => {
  const name = freshName();
  const [a] = await openNodes(1, connections, { name });
  await add(a!, newRow("ends"), newRow("stays", { dueAt: 1 }));
  let deaf = false;
  const partial = deafened(connections[1]!, (message) => !(deaf && isDelivery(message)));
  const [b] = await openNodes(1, [partial], { name });
  expect(await due(b!)).toEqual(["ends", "stays"]);
  deaf = true;
  await a!.outbox.settle(["ends"], "sent", "");
  await add(a!, newRow("comes", { dueAt: 2 }));
  deaf = false;
  await until(async () => {
    await b!.clock.advance(500);
    return (await due(b!)).join() === "stays,comes";
  }, "the index is right again");
  await a!.close();
  await b!.close();
  expect(b!.clock.timers).toBe(0);
});

test("what a node itself wrote it knows at once, though nothing is delivered and an answer is lost", async () => {
  let deaf = false;
  let losing = false;
  const flaky = lossy(connections[1]!, { answer: (subject) => losing && !subject.startsWith("$JS.") && !(losing = false) });
  const partial = deafened(flaky, (message) => !(deaf && isDelivery(message)));
  const [node] = await openNodes(1, [partial]);
  deaf = true;
  await add(node!, newRow("one"));
  expect(await due(node!)).toEqual(["one"]);
  const record = (await node!.users.get("sara"))!;
  losing = true;
  expect(await node!.users.put(record, "both", [newRow("two", { dueAt: 1 })])).toBeDefined();
  expect(losing).toBe(false);
  expect(await due(node!)).toEqual(["one", "two"]);
  await node!.outbox.settle(["one"], "sent", "");
  expect(await due(node!)).toEqual(["two"]);
  await node!.close();
});
