import { expect, test } from "vitest";
import type { PushResult } from "../../mod.ts";
import { a, b, c, cluster, publish, useThreeNodes } from "./three_nodes.ts";

useThreeNodes();

/** What every node's push service answers. */
function answer(verdict: (token: string) => PushResult): void {
  for (const { provider } of [a, b, c]) provider.verdict = verdict;
}

/** Sara's phone, registered with that token at that node, and away. */
async function leave(node: typeof a, token: string): Promise<void> {
  const phone = await node.device("sara", { deviceId: "phone", token, visible: false });
  phone.leave();
  await cluster.clock.settle();
}

test("providers are told how many nodes send, and soon when one has left", async () => {
  await leave(a, "phone");
  await cluster.clock.advance(11_000);
  await publish(a, "one");
  await cluster.clock.advance(1_000);
  expect(cluster.pushes.map(({ nodes }) => nodes)).toEqual([3]);
  c.kill();
  await cluster.clock.advance(30_000);
  await publish(a, "two");
  await cluster.clock.advance(1_000);
  expect(cluster.pushes.at(-1)?.nodes).toBe(2);
});

test("what waits for a service that recovers leaves once, whichever nodes have put it off", async () => {
  await leave(a, "phone");
  await leave(b, "phone");
  answer(() => ({ verdict: "retry", reason: "no", scope: "service" }));
  for (const id of ["one", "two", "three"]) await publish(a, id);
  await cluster.clock.advance(900_000);
  answer(() => ({ verdict: "sent" }));
  cluster.pushes.length = 0;
  await cluster.clock.advance(70_000);
  expect(cluster.pushes.reduce((sum, { notification: { waiting } }) => sum + waiting, 0)).toBe(3);
});

test("a token that is registered at one node is tried by the one that was refused the former", async () => {
  b.kill();
  await leave(a, "foreign");
  answer((token) => token === "foreign" ? { verdict: "retry", reason: "403", scope: "unclear" } : { verdict: "sent" });
  c.pause();
  await publish(a, "one");
  await cluster.clock.advance(2_000);
  expect(cluster.pushes.map(({ node }) => node)).toEqual([a]);
  await c.resume();
  await leave(c, "own");
  c.kill();
  await publish(a, "two");
  await cluster.clock.advance(20_000);
  expect(cluster.pushes.filter(({ node, token }) => node === a && token === "own").length).toBeGreaterThan(0);
});
