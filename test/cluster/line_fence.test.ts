import { expect, test } from "vitest";
import type { ClientFrame } from "../../src/protocol/frames.ts";
import { a, b, cluster, useThreeNodes } from "./three_nodes.ts";
import type { ClusterDevice } from "./stage.ts";

useThreeNodes();

type Lined = Extract<ClientFrame, { line?: unknown }>;

const ROOM = "*/room";
const join: Lined = { type: "subscribe", ref: 0, topic: ROOM, since: { epoch: 0, offset: 0 }, anew: false };
const leave: Lined = { type: "unsubscribe", ref: 0, topic: ROOM };
const target = (token: string | null): Lined => ({ type: "target", ref: 0, provider: "fake", token, details: null });

function say(device: ClusterDevice, number: number, frame: Lined, ageMs = 0): void {
  device.send({ ...frame, ref: number, line: { id: "the only one", number, ageMs, user: "sara" } });
}

async function stored(): Promise<{ isIn: boolean; tokens: string[] }> {
  const record = await (await cluster.storage.opened()).users.get("sara");
  const tokens = record!.sessions.flatMap(({ targets }) => targets.map(({ token }) => token));
  return { isIn: record!.subscriptions[ROOM] !== undefined, tokens };
}

test.each<[string, Lined, Lined]>([
  ["a subscription", join, leave],
  ["the end of one", leave, join],
  ["a target", target("old"), target(null)],
  ["the end of a target", target(null), target("new")],
])(
  "%s that is under way when another node takes the session over has no effect there: the repeat does it",
  async (_, one, two) => {
    const before = await a.device("sara");
    const set = one.type === "unsubscribe" ? join : target("first");
    if (one.type === "unsubscribe" || (one.type === "target" && one.token === null)) say(before, 1, set);
    await cluster.clock.advance(1_000);
    a.access.slowMs = 3_000;
    say(before, 2, one);
    await cluster.clock.advance(100);
    before.drop();
    const after = await b.device("sara");
    say(after, 2, one, 100);
    say(after, 3, two);
    await cluster.clock.advance(2_000);
    const settled = await stored();
    expect(after.of("ok").map(({ ref }) => ref)).toEqual([2, 3]);
    a.access.slowMs = 0;
    await cluster.clock.advance(20_000);
    expect(await stored()).toEqual(settled);
    expect(settled).toEqual({
      isIn: two === join,
      tokens: two.type === "target" && two.token !== null ? [two.token] : [],
    });
  },
);

test("what a node knows of a line is not believed when the session was elsewhere in between", async () => {
  const before = await a.device("sara");
  say(before, 1, join);
  await cluster.clock.advance(1_000);
  // This node is not told that it lost the session.
  a.cut();
  before.drop();
  const between = await b.device("sara");
  say(between, 2, leave);
  say(between, 3, join);
  await cluster.clock.advance(1_000);
  expect(between.of("ok").map(({ ref }) => ref)).toEqual([2, 3]);
  const changes: unknown[] = [];
  a.engine.on("subscription", (change) => changes.push(change));
  const after = await a.device("sara");
  say(after, 2, leave, 1_000);
  say(after, 3, join, 1_000);
  await cluster.clock.advance(1_000);
  expect(after.of("ok").map(({ ref }) => ref)).toEqual([2, 3]);
  expect(changes).toEqual([]);
  await a.heal();
  await cluster.clock.advance(60_000);
});
