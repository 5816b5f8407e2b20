import { expect, test } from "vitest";
import type { TopicDecision } from "../../src/ports/outbox.ts";
import { add, forgetEnd, newRow, numbered } from "./outbox_stage.ts";
import { altered, answering, freshName, lossy, openNodes, shareServer, type StateNode, until } from "./state_stage.ts";

const { connections } = shareServer();

const topic = "*/news";

function decision(fields: Partial<TopicDecision> = {}): TopicDecision {
  return { topic, version: 0, epoch: 5, decided: 0, goal: 1, ...fields };
}

async function due({ outbox }: StateNode): Promise<string[]> {
  return (await outbox.due(Infinity, 1_000)).rows.map(({ id }) => id).sort();
}

test("how far a topic is decided is given back as it was stored, with the rows of a page", async () => {
  const name = freshName();
  const [a, b] = await openNodes(2, connections, { name });
  expect(await a!.outbox.decision(topic)).toBeUndefined();
  expect(await a!.outbox.decide(decision({ version: 7 }), [newRow("early")])).toBeUndefined();
  const first = (await a!.outbox.decide({ ...decision({ goal: 9 }), extra: 1 } as never, []))!;
  expect(await b!.outbox.decision(topic)).toStrictEqual(decision({ version: first, goal: 9 }));
  const pass = { to: 9, after: "a place" };
  const rows = numbered(200).map((id) => newRow(id, { userId: `user of ${id}`, topic }));
  const second = (await b!.outbox.decide(decision({ version: first, goal: 12, pass }), rows))!;
  expect(await a!.outbox.decision(topic)).toStrictEqual(decision({ version: second, goal: 12, pass }));
  expect(await due(b!)).toEqual(numbered(200).sort());
  await until(async () => (await due(a!)).length === 200, "the rows are on the other node too");
  expect(await a!.outbox.take([...numbered(200)])).toEqual(numbered(200));
  const third = (await b!.outbox.decide(decision({ version: second, goal: 12, pass: { to: 12 } }), []))!;
  expect(await a!.outbox.decision(topic)).toStrictEqual(decision({ version: third, goal: 12, pass: { to: 12 } }));
  expect(new Set([first, second, third]).size).toBe(3);
  await a!.close();
  await b!.close();
});

test("a decision that another node was faster than changes nothing, whatever this one remembers", async () => {
  const [a, b] = await openNodes(2, connections);
  const first = (await a!.outbox.decide(decision(), []))!;
  const second = (await b!.outbox.decide(decision({ version: first, decided: 1 }), [newRow("second")]))!;
  expect(await a!.outbox.decide(decision({ version: first, decided: 1 }), [newRow("stale")])).toBeUndefined();
  expect(await b!.outbox.decide(decision(), [newRow("stale")])).toBeUndefined();
  expect(await a!.outbox.ofMessage("message of stale")).toEqual([]);
  const all = await Promise.all(
    Array.from({ length: 10 }, (_, index) => {
      const { outbox } = index % 2 === 0 ? a! : b!;
      return outbox.decide(decision({ version: second, goal: 2, decided: 2 }), [newRow(`of ${index}`)]);
    }),
  );
  expect(all.filter((version) => version !== undefined).length).toBe(1);
  const winner = all.findIndex((version) => version !== undefined);
  await until(async () => (await due(a!)).join() === `of ${winner},second`, "the winner's row is there, and no other");
  expect((await b!.outbox.decision(topic))!.version).toBe(all[winner]);
  await a!.close();
  await b!.close();
});

test("rows that the outbox knows are left as they are, those of other nodes and those that ended long ago too", async () => {
  const name = freshName();
  const [a, b] = await openNodes(2, connections, { name });
  const kinds = ["pending", "sending", "settled", "long settled"];
  for (const id of kinds) await add(a!, newRow(id, { userId: `user of ${id}`, messageId: "m" }));
  await a!.outbox.take(["sending"]);
  await a!.outbox.settle(["settled", "long settled"], "dropped", "acked");
  await forgetEnd(connections[0]!, name, "long settled", "user of long settled");
  const rows = [...kinds, "new"].map((id) => newRow(id, { userId: `user of ${id}`, messageId: "m", dueAt: 9 }));
  expect(await b!.outbox.decide(decision(), rows)).toBeTypeOf("number");
  const state = async ({ outbox }: StateNode) =>
    (await outbox.ofMessage("m")).map(({ id, status, dueAt }) => `${id} ${status} ${dueAt}`).sort();
  const want = ["long settled dropped 0", "new pending 9", "pending pending 0", "sending sending 0", "settled dropped 0"];
  await until(async () => JSON.stringify(await state(a!)) === JSON.stringify(want), "the other node hears of the new one");
  expect(await state(b!)).toEqual(want);
  await a!.close();
  await b!.close();
});

test("a decision whose answer was lost finds its version, its rows, and that what they replace is gone", async () => {
  const name = freshName();
  let losing = false;
  const flaky = lossy(connections[1]!, {
    answer: (subject) => losing && subject.startsWith(`${name}.st.j.`) && !(losing = false),
  });
  const [a] = await openNodes(1, [flaky], { name });
  const [b] = await openNodes(1, connections, { name });
  await add(a!, newRow("old", { position: { epoch: 5, offset: 1 } }));
  losing = true;
  const version = await a!.outbox.decide(decision(), [newRow("new", { position: { epoch: 5, offset: 4 }, replaces: "old" })]);
  expect(losing).toBe(false);
  expect(await b!.outbox.decision(topic)).toStrictEqual(decision({ version: version! }));
  expect((await a!.outbox.due(Infinity, 9)).rows).toMatchObject([{ id: "new", after: 0 }]);
  expect(await a!.outbox.decide(decision({ version: version!, decided: 1 }), [])).toBeTypeOf("number");
  await a!.close();
  await b!.close();
});

test("no decision lies about its outcome when requests and answers are lost and two nodes decide", async () => {
  const name = freshName();
  const lost = { request: () => Math.random() < 0.15, answer: () => Math.random() < 0.2 };
  const nodes = await openNodes(2, connections.map((connection) => lossy(connection, lost)), { name });
  const stored: number[] = [];
  await Promise.all(nodes.map(async ({ outbox }) => {
    for (let round = 0; round < 15; round++) {
      const now = await outbox.decision(topic) ?? decision();
      const next = { ...now, goal: now.goal + 1 };
      if (await outbox.decide(next, [newRow(`goal ${next.goal}`)]) !== undefined) stored.push(next.goal);
    }
  }));
  // A goal is reached once, by the one node that says so.
  expect(new Set(stored).size).toBe(stored.length);
  expect((await nodes[0]!.outbox.decision(topic))!.goal).toBe(1 + stored.length);
  const ids = stored.map((goal) => `goal ${goal}`).sort();
  for (const node of nodes) await until(async () => (await due(node)).join() === ids.join(), "all rows are there");
  for (const node of nodes) await node.close();
});

test("a page's rows and its place are one batch, and a page without rows is one message", async () => {
  let published = 0;
  let asked = 0;
  const counting = altered(connections[0]!, {
    publish(...what) {
      published++;
      if (what[2]?.reply !== undefined) asked++;
      connections[0]!.publish(...what);
    },
  });
  const [node] = await openNodes(1, [counting]);
  const version = (await node!.outbox.decide(decision(), []))!;
  published = 0;
  const next = (await node!.outbox.decide(decision({ version, goal: 2 }), []))!;
  expect(published).toBe(1);
  asked = 0;
  const rows = numbered(200).map((id) => newRow(id, { userId: id }));
  expect(await node!.outbox.decide(decision({ version: next, goal: 2 }), rows)).toBeTypeOf("number");
  // Whether the rows have ended is asked in one or two questions, if the server is new enough.
  expect(asked).toBeLessThanOrEqual(4);
  await node!.close();
});

test("topics with something to decide are listed on every node, page by page, until it is decided", async () => {
  const [a, b] = await openNodes(2, connections);
  const topics = Array.from({ length: 50 }, (_, index) => `*/topic ${index}.é` as const);
  const versions = await Promise.all(topics.map((topic, index) => {
    return (index % 2 === 0 ? a! : b!).outbox.decide(decision({ topic, goal: 3 }), []);
  }));
  await a!.outbox.decide(decision({ topic: "*/done", decided: 3, goal: 3 }), []);
  const undecided = async ({ outbox }: StateNode): Promise<string[]> => {
    const names: string[] = [];
    let after: string | undefined;
    do {
      const page = await outbox.undecided({ after, limit: 7 });
      expect(page.names.length).toBeLessThanOrEqual(7);
      names.push(...page.names);
      after = page.next;
    } while (after !== undefined);
    return names.sort();
  };
  for (const node of [a!, b!]) expect(await undecided(node)).toEqual([...topics].sort());
  // The other node finishes, or moves on.
  for (const [index, topic] of topics.slice(0, 20).entries()) {
    const done = index % 2 === 0;
    await b!.outbox.decide(decision({ topic, version: versions[index]!, goal: 4, decided: done ? 4 : 1 }), []);
  }
  const left = topics.filter((_, index) => index >= 20 || index % 2 === 1).sort();
  for (const node of [a!, b!]) expect(await undecided(node)).toEqual(left);
  const again = (await a!.outbox.decision(topics[0]!))!;
  await a!.outbox.decide({ ...again, goal: 9 }, []);
  expect(await undecided(b!)).toEqual([...left, topics[0]!].sort());
  await a!.close();
  await b!.close();
});

test("a row of a decision that another node adds meanwhile is left to it", async () => {
  const name = freshName();
  const [a] = await openNodes(1, connections, { name });
  let between: (() => Promise<unknown>) | undefined;
  const late = answering(connections[1]!, async (...what) => {
    const first = what[0].startsWith(`${name}.st.j.`) ? between : undefined;
    if (first !== undefined) between = undefined;
    await first?.();
    return await connections[1]!.request(...what);
  });
  const [b] = await openNodes(1, [late], { name });
  between = async () => {
    await add(a!, newRow("both", { messageId: "m", dueAt: 3 }));
    await a!.outbox.take(["both"]);
  };
  const rows = [newRow("both", { messageId: "m" }), newRow("mine", { messageId: "m", userId: "omid" })];
  expect(await b!.outbox.decide(decision(), rows)).toBeTypeOf("number");
  expect(between).toBeUndefined();
  const state = (await b!.outbox.ofMessage("m")).map(({ id, status, dueAt }) => `${id} ${status} ${dueAt}`).sort();
  expect(state).toEqual(["both sending 3", "mine pending 0"]);
  await a!.close();
  await b!.close();
});
