import { expect, test } from "vitest";
import type { Node } from "./stage.ts";
import { a, b, c, cluster, useThreeNodes } from "./three_nodes.ts";

useThreeNodes();

const NEWS = { to: "*", channel: "news" };

function publish(node: Node, content: string): Promise<unknown> {
  return cluster.finish(node.engine.publish({ ...NEWS, content, id: content }));
}

/** Sara's device is on a node that is killed, and nine messages follow. */
async function lose(before: number): Promise<void> {
  await cluster.finish(a.engine.subscribe("sara", NEWS));
  await a.device("sara", { token: "t" });
  for (let index = 0; index < before; index++) await publish(b, `before ${index}`);
  await cluster.clock.advance(5_000);
  a.kill();
  for (let index = 1; index <= 9; index++) await publish(b, `${index}`);
}

/** The node that takes the session over has written that it leaves, and goes on when it is let. */
async function heldLeaving(): Promise<{ leaves: () => boolean; go: () => void }> {
  const { users } = await cluster.storage.opened();
  const put = users.put.bind(users);
  const { promise, resolve } = Promise.withResolvers<void>();
  let leaves = false;
  users.put = async (record, ...what) => {
    const versions = await put(record, ...what);
    if (!leaves && record.sessions.some(({ leaving }) => leaving === true)) {
      leaves = true;
      await promise;
    }
    return versions;
  };
  return { leaves: () => leaves, go: resolve };
}

function told(): string[] {
  return cluster.pushes.map(({ notification: { id, waiting } }) => waiting === 1 ? id : `${waiting} messages`);
}

const other = (): Node => [b, c].find(({ engine }) => engine.counters().sessions === 0)!;

test.each([
  ["a short topic, which is decided about from its beginning", 0, ["1", "2", "3", "7 messages"]],
  ["a long one, of which the others were decided about before", 110, ["9", "10", "1", "2", "3", "5 messages"]],
])("a topic is decided about while a lost session leaves, on another node: all is told of once: %s", async (_, before, all) => {
  const leaving = await heldLeaving();
  await lose(before);
  await cluster.until(leaving.leaves);
  await publish(other(), "10");
  await cluster.until(() => cluster.pushes.length > 0);
  leaving.go();
  await cluster.clock.advance(60_000);
  expect(told()).toEqual(all);
});

test("both store their rows at the same time: nothing is left out, though the newest ones are told of twice", async () => {
  const { outbox } = await cluster.storage.opened();
  const { decide, ofMessage } = outbox;
  const [asked, stored] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let decides = false;
  outbox.decide = async (decision, rows) => {
    decides ||= rows.length > 0;
    if (rows.length > 0) await asked.promise;
    const version = await decide.call(outbox, decision, rows);
    if (rows.length > 0) stored.resolve();
    return version;
  };
  outbox.ofMessage = async (id, ids) => {
    const rows = await ofMessage.call(outbox, id, ids);
    asked.resolve();
    await stored.promise;
    return rows;
  };
  const leaving = await heldLeaving();
  await lose(110);
  await cluster.until(leaving.leaves);
  await publish(other(), "10");
  await cluster.until(() => decides);
  leaving.go();
  await cluster.clock.advance(60_000);
  expect(told().toSorted()).toEqual(["1", "10", "2", "3", "7 messages", "9"]);
});
