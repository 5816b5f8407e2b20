import { expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import type { Outbox, TopicDecision } from "../../src/ports/outbox.ts";
import type { Users } from "../../src/ports/users.ts";
import { TopicDecider, type TopicDeciderParts } from "../../src/push/topic_decider.ts";

/** Of a topic without pushable members up to `idleTo`: where deciding begins once there is one. */
async function decidedAfter(idleTo: number): Promise<number> {
  const decisions: TopicDecision[] = [];
  let members: string[] = [];
  const users = { pushableMembers: () => Promise.resolve({ names: members, next: undefined }) } as unknown as Users;
  const outbox = {
    decision: () => Promise.resolve(undefined),
    decide: (decision: TopicDecision) => Promise.resolve(decisions.push(decision)),
  } as unknown as Outbox;
  const lease = { isHeld: false } as TopicDeciderParts["lease"];
  const rest = { shared: false, clock: createManualClock() } as unknown as TopicDeciderParts;
  const decider = new TopicDecider({ ...rest, users, outbox, lease });
  await decider.want("*/room", { epoch: 7, offset: idleTo });
  members = ["sara"];
  await decider.want("*/room", { epoch: 7, offset: idleTo + 1 });
  await decider.close();
  return decisions[0]!.decided;
}

test("what a topic got while nobody could be pushed to is not decided about later", async () => {
  expect(await decidedAfter(5_000)).toBe(5_000);
});

test("of a topic with a few entries it is not remembered: rooms that come and go take no memory", async () => {
  expect(await decidedAfter(10)).toBe(0);
});
