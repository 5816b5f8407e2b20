import { expect, test } from "vitest";
import type { Take } from "../../src/ports/outbox.ts";
import { add, newRow, numbered, subjectOf, told } from "./outbox_stage.ts";
import { altered, answering, deafened, freshName, lossy, openNodes, shareServer, until } from "./state_stage.ts";

const { connections } = shareServer();

/** Counts what a node publishes, and how many answers it asks for. */
function counting(): { connection: ReturnType<typeof altered>; published: number; asked: number } {
  const counted = {
    published: 0,
    asked: 0,
    connection: altered(connections[0]!, {
      publish(...what) {
        counted.published++;
        if (what[2]?.reply !== undefined) counted.asked++;
        connections[0]!.publish(...what);
      },
    }),
  };
  return counted;
}

test("many rows are taken, given back and ended in a few steps", async () => {
  const counted = counting();
  const [node] = await openNodes(1, [counted.connection]);
  const { outbox } = node!;
  const ids = numbered(300);
  await add(node!, ...ids.map((id) => newRow(id)));
  counted.asked = 0;
  expect(await outbox.take([...ids].reverse())).toEqual([...ids].reverse());
  expect(await outbox.due(Infinity, 1)).toMatchObject({ rows: [] });
  await outbox.retry(ids.map((id) => ({ id, attempts: 1 })), 7, "busy");
  expect((await outbox.due(7, 1_000)).rows.map(({ attempts, note }) => `${attempts} ${note}`)).toEqual(ids.map(() => "1 busy"));
  expect(await outbox.take(ids)).toEqual(ids);
  await outbox.settle(ids, "rejected", "why");
  expect(counted.asked).toBeLessThanOrEqual(12);
  expect(await told(node!, "message of row 299", ({ status, attempts, covers }) => `${status} ${attempts} ${covers}`)).toEqual([
    "rejected 2 ",
  ]);
  expect(await outbox.due(Infinity, 1)).toEqual({ rows: [], nextDueAt: undefined });
  await node!.close();
});

test("a single row is taken with one message and nothing else", async () => {
  const counted = counting();
  const [node] = await openNodes(1, [counted.connection]);
  await add(node!, newRow("row"));
  counted.published = 0;
  expect(await node!.outbox.take(["row", "row"])).toEqual(["row"]);
  expect(counted.published).toBe(1);
  await node!.close();
});

test("of many rows those are taken that another node has not changed, however late this one hears of it", async () => {
  const name = freshName();
  const ids = numbered(120);
  const [a] = await openNodes(1, connections, { name });
  let between: (() => Promise<unknown>) | undefined;
  const late = answering(connections[1]!, async (...what) => {
    const first = what[0].startsWith(`${name}.st.p.`) ? between : undefined;
    if (first !== undefined) {
      between = undefined;
      await first();
    }
    return await connections[1]!.request(...what);
  });
  const [b] = await openNodes(1, [late], { name });
  await add(a!, ...ids.map((id) => newRow(id)));
  await until(async () => (await b!.outbox.due(0, 1_000)).rows.length === ids.length, "the other node knows of them");
  between = async () => {
    expect(await a!.outbox.take(["row 5"])).toEqual(["row 5"]);
    await a!.outbox.settle(["row 7"], "dropped", "acked");
    await a!.outbox.postpone(ids, -1, ""); // Changes nothing.
  };
  const left = ids.filter((id) => id !== "row 5" && id !== "row 7");
  expect(await b!.outbox.take([...ids, "unknown"])).toEqual(left);
  expect(between).toBeUndefined();
  // The end of what is a step of its own takes the others along, whatever became of one.
  between = () => a!.outbox.settle(["row 9"], "rejected", "first");
  await b!.outbox.settle(ids.slice(8, 11), "sent", "201");
  const end = ({ status, note, covers }: { status: string; note: unknown; covers: readonly string[] }) =>
    `${status} ${note} ${covers}`;
  expect((await Promise.all(ids.slice(8, 11).map((id) => told(a!, `message of ${id}`, end)))).flat()).toEqual([
    ...["sent 201 row 9,row 10", "rejected first ", "sent 201 "],
  ]);
  await a!.close();
  await b!.close();
});

test("what this node thinks is taken is looked at again when it is to be taken", async () => {
  const name = freshName();
  const [a] = await openNodes(1, connections, { name });
  let deaf = false;
  const partial = deafened(connections[1]!, ({ reply }) => !(deaf && reply?.startsWith("$JS.ACK.")));
  const [b] = await openNodes(1, [partial], { name });
  const ids = numbered(5);
  await add(a!, ...ids.map((id) => newRow(id)));
  await a!.outbox.take(ids.slice(0, 3));
  await until(async () => (await b!.outbox.due(0, 10)).rows.length === 2, "the other node knows of them");
  deaf = true;
  await a!.outbox.retry([{ id: "row 0", attempts: 1 }, { id: "row 1", attempts: 1 }], 0, "busy");
  expect(await b!.outbox.take(ids)).toEqual(["row 0", "row 1", "row 3", "row 4"]);
  await a!.close();
  await b!.close();
});

test("two nodes that take the same rows at once share them", async () => {
  const [a, b] = await openNodes(2, connections);
  const ids = numbered(400);
  await add(a!, ...ids.map((id) => newRow(id)));
  await until(async () => (await b!.outbox.due(0, 1_000)).rows.length === ids.length, "the other node knows of them");
  const taken = await Promise.all([a!.outbox.take(ids), b!.outbox.take(ids.slice(150)), b!.outbox.take([...ids].reverse())]);
  expect(taken.flat().sort()).toEqual([...ids].sort());
  await a!.close();
  await b!.close();
});

test("a take of many rows whose answer was lost finds out that they are taken", async () => {
  const name = freshName();
  let losing = 0;
  const flaky = lossy(connections[1]!, { answer: (subject) => subject.startsWith(`${name}.st.p.`) && losing-- > 0 });
  const [a] = await openNodes(1, [flaky], { name });
  const [b] = await openNodes(1, connections, { name });
  const ids = numbered(50);
  await add(a!, ...ids.map((id) => newRow(id)));
  losing = 2;
  expect(await a!.outbox.take(ids)).toEqual(ids);
  expect(losing).toBeLessThanOrEqual(0);
  expect(await b!.outbox.take(ids)).toEqual([]);
  // A row that is changed before the lost answer is looked for says nothing; the others of its step do.
  losing = 1;
  const settled = a!.outbox.settle(ids, "sent", "201");
  await settled;
  expect(await told(b!, "message of row 0", ({ status, covers }) => `${status} ${covers.length}`)).toEqual(["sent 49"]);
  expect(await told(b!, "message of row 49", ({ status, covers }) => `${status} ${covers.length}`)).toEqual(["sent 0"]);
  await a!.close();
  await b!.close();
});

test("no take of many rows lies about its outcome when requests and answers are lost and two nodes want them", async () => {
  const name = freshName();
  const lost = { request: () => Math.random() < 0.2, answer: () => Math.random() < 0.25 };
  const nodes = await openNodes(2, connections.map((connection) => lossy(connection, lost)), { name });
  const ids = numbered(300);
  await add(nodes[0]!, ...ids.map((id) => newRow(id)));
  await until(async () => (await nodes[1]!.outbox.due(0, 1_000)).rows.length === ids.length, "the other node knows of them");
  const taken = await Promise.all(nodes.flatMap(({ outbox }) => [outbox.take(ids.slice(0, 170)), outbox.take(ids.slice(130))]));
  expect(taken.flat().sort()).toEqual([...ids].sort());
  for (const node of nodes) await node.close();
});

test("rows that left as one push end in one step: when that fails, none has ended", async () => {
  const name = freshName();
  let isDown = false;
  const failing = lossy(connections[1]!, { request: (subject) => subject === subjectOf(name, "third") && isDown });
  const [a] = await openNodes(1, [failing], { name });
  const [b] = await openNodes(1, [connections[0]!], { name });
  const rows = ["first", "second", "third"];
  await add(a!, ...rows.map((id) => newRow(id, { messageId: "m" })));
  await a!.outbox.take(rows);
  isDown = true;
  await expect(a!.outbox.settle(rows, "sent", "201")).rejects.toMatchObject({ code: "unavailable" });
  const state = ({ id, status, covers }: { id: string; status: string; covers: readonly string[] }) =>
    `${id} ${status} ${covers}`;
  expect(await told(b!, "m", state)).toEqual(["first sending ", "second sending ", "third sending "]);
  isDown = false;
  await a!.outbox.settle(rows, "sent", "201");
  expect(await told(b!, "m", state)).toEqual(["first sent second,third", "second sent ", "third sent "]);
  await a!.close();
  await b!.close();
});

test("300 rows that left as one push end in one step, and of more the first ends last", async () => {
  const name = freshName();
  let order: string[] | undefined;
  let batches = 0;
  const watched = altered(connections[0]!, {
    publish(...what) {
      if (order !== undefined && what[0].startsWith(`${name}.st.p.`)) {
        order.push(what[0]);
        if (what[2]?.reply !== undefined) batches++;
      }
      connections[0]!.publish(...what);
    },
  });
  const [node] = await openNodes(1, [watched], { name });
  for (const count of [300, 450]) {
    const ids = numbered(count).map((id) => `${count} ${id}`);
    await add(node!, ...ids.map((id) => newRow(id, { messageId: `m${count}` })));
    expect(await node!.outbox.take(ids)).toEqual(ids);
    order = [];
    batches = 0;
    await node!.outbox.settle(ids, "sent", "201");
    expect(order.length).toBe(count);
    if (count === 300) expect(batches).toBe(1);
    expect(order.at(count === 300 ? 0 : -1)).toBe(subjectOf(name, ids[0]!));
    order = undefined;
    const rows = await node!.outbox.ofMessage(`m${count}`);
    expect(rows.filter(({ status }) => status === "sent").length).toBe(count);
    expect(rows.filter(({ covers }) => covers.length > 0).map(({ id, covers }) => [id, covers])).toEqual([[
      ids[0],
      ids.slice(1),
    ]]);
  }
  await node!.close();
});

test("only the take that is named is given back, and only by the node that took it", async () => {
  const [a, b] = await openNodes(2, connections);
  const ids = ["mine", "again", "other", "waits", "ended"];
  await add(a!, ...ids.map((id) => newRow(id, { messageId: "m" })));
  await until(async () => (await b!.outbox.due(0, 10)).rows.length === ids.length, "the other node knows of them");
  await a!.outbox.take(["mine", "again", "ended"]);
  await b!.outbox.take(["other"]);
  await a!.outbox.retry([{ id: "again", attempts: 1 }], 0, "busy");
  await a!.outbox.take(["again"]);
  await a!.outbox.settle(["ended"], "gone", "410");
  const takes: Take[] = [...ids, "unknown"].map((id) => ({ id, attempts: 1 }));
  await a!.outbox.retry(takes, 30, "late");
  const state = ({ id, status, attempts, dueAt }: { id: string; status: string; attempts: number; dueAt: number }) =>
    `${id} ${status} ${attempts} ${dueAt}`;
  expect(await told(a!, "m", state)).toEqual([
    ...["again sending 2 0", "ended gone 1 0", "mine pending 1 30", "other sending 1 0", "waits pending 0 0"],
  ]);
  await a!.close();
  await b!.close();
});

test("pending rows are postponed, but for those that are due later or that another node has just taken", async () => {
  const name = freshName();
  const [a] = await openNodes(1, connections, { name });
  let between: (() => Promise<unknown>) | undefined;
  const late = answering(connections[1]!, async (...what) => {
    const first = what[0].startsWith(`${name}.st.p.`) ? between : undefined;
    if (first !== undefined) between = undefined;
    await first?.();
    return await connections[1]!.request(...what);
  });
  const [b] = await openNodes(1, [late], { name });
  await add(
    a!,
    ...["soon", "taken", "sending"].map((id) => newRow(id, { messageId: "m" })),
    newRow("later", { messageId: "m", dueAt: 90 }),
    newRow("another", { messageId: "m" }),
    newRow("expires", { messageId: "m", expiresAt: 40 }),
  );
  const addedAt = b!.clock.now();
  await b!.clock.advance(7);
  await a!.outbox.take(["sending"]);
  await until(async () => (await b!.outbox.due(0, 10)).rows.length === 4, "the other node knows of them");
  between = () => a!.outbox.take(["taken"]);
  await b!.outbox.postpone(["soon", "taken", "sending", "later", "expires"], 50, "rests");
  expect(between).toBeUndefined();
  const state = ({ id, status, dueAt }: { id: string; status: string; dueAt: number }) => `${id} ${status} ${dueAt}`;
  const want = [
    ...[
      "another pending 0",
      "expires pending 40",
      "later pending 90",
      "sending sending 0",
      "soon pending 50",
      "taken sending 0",
    ],
  ];
  expect(await told(b!, "m", state)).toEqual(want);
  await until(async () => JSON.stringify(await told(a!, "m", state)) === JSON.stringify(want), "the first node hears of it");
  expect((await b!.outbox.due(49, 10)).rows.map(({ id }) => id)).toEqual(["another", "expires"]);
  expect((await b!.outbox.due(50, 10)).rows.at(-1)).toMatchObject({ id: "soon", status: "pending", changedAt: addedAt });
  await a!.close();
  await b!.close();
});
