import { expect, test } from "vitest";
import { add, newRow } from "./outbox_stage.ts";
import { freshName, openNodes, shareServer, until } from "./state_stage.ts";

const { connections } = shareServer();
const MINUTE = 60_000;
const EARLY = -6_000;
const LATE = 3_600_000;

/** How long each row that a node knows has to wait, by that node's clock. */
async function waits({ clock, outbox }: Awaited<ReturnType<typeof openNodes>>[number]): Promise<string[]> {
  const { rows } = await outbox.due(Infinity, 10);
  return rows.map(({ dueAt, expiresAt, id }) => `${id} ${dueAt - clock.now()} ${expiresAt - clock.now()}`).sort();
}

test.each([["ahead", LATE], ["behind", EARLY]])("a row waits as long on a node whose clock is %s", async (_, ms) => {
  const [writer, other] = await openNodes(2, connections);
  other!.clock.jump(ms);
  const now = writer!.clock.now();
  await add(writer!, newRow("added", { dueAt: now + 5_000, expiresAt: now + MINUTE }));
  await add(writer!, newRow("retried", { dueAt: now, expiresAt: now + MINUTE }));
  await writer!.outbox.take(["retried"]);
  await writer!.outbox.retry([{ id: "retried", attempts: 1 }], now + 7_000, "busy");
  const all = ["added 5000 60000", "retried 7000 60000"];
  expect(await waits(writer!)).toEqual(all);
  await until(async () => (await waits(other!)).join() === all.join(), "the other node knows");
  // What the other one writes is as long again on the first.
  await other!.outbox.postpone(["added"], other!.clock.now() + 9_000, "later");
  await until(async () => (await waits(writer!)).join() === "added 9000 60000,retried 7000 60000", "the first node knows");
  for (const node of [writer!, other!]) await node.close();
});

test("a node that comes later, with a clock that is behind, keeps no row waiting for longer than it was to wait", async () => {
  const name = freshName();
  const [writer] = await openNodes(1, connections, { name });
  writer!.clock.jump(LATE);
  const now = writer!.clock.now();
  await add(writer!, newRow("row", { dueAt: now + 5_000, expiresAt: now + MINUTE }));
  await writer!.close();
  const [next] = await openNodes(1, connections, { name });
  expect(await waits(next!)).toEqual(["row 5000 60000"]);
  await next!.close();
});
