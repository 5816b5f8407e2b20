import { expect, test } from "vitest";
import type { Node } from "./stage.ts";
import { a, b, c, cluster, useThreeNodes } from "./three_nodes.ts";

useThreeNodes();

const NEWS = { to: "*", channel: "news" };

function publish(node: Node, content: string): Promise<unknown> {
  return cluster.finish(node.engine.publish({ ...NEWS, content, id: content }));
}

test("a node that takes a lost session over and one that decides about the topic meet at an entry: all is told of", async () => {
  await cluster.finish(a.engine.subscribe("sara", NEWS));
  await a.device("sara", { token: "t" });
  const { users } = await cluster.storage.opened();
  const put = users.put.bind(users);
  const decided = Promise.withResolvers<void>();
  let leaves = false;
  // The node that takes over has written that the session leaves, and hears of that when the other one has decided.
  users.put = async (record, ...what) => {
    const versions = await put(record, ...what);
    if (!leaves && record.sessions.some(({ leaving }) => leaving === true)) {
      leaves = true;
      await decided.promise;
    }
    return versions;
  };
  a.kill();
  for (let index = 1; index <= 9; index++) await publish(b, `${index}`);
  await cluster.until(() => leaves);
  const other = [b, c].find(({ engine }) => engine.counters().sessions === 0)!;
  await publish(other, "10");
  await cluster.until(() => cluster.pushes.length > 0);
  decided.resolve();
  await cluster.clock.advance(60_000);
  const pushes = cluster.pushes.map(({ notification: { id, waiting } }) => waiting === 1 ? id : `${waiting} messages`);
  expect(pushes).toEqual(["9", "10", "1", "2", "3", "7 messages"]);
});
