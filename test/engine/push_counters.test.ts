import { expect, test } from "vitest";
import type { OutgoingMessage, Position, PushResult } from "../../mod.ts";
import { createLives, type Lives, PLACES } from "./lives.ts";

const SENT: PushResult = { verdict: "sent" };
const DAY_MS = 86_400_000;

/** Pushes that have ended, by the counters. */
function ended({ engine }: Lives): number {
  const { pushesSent, pushesMerged, pushesRejected, pushesGone, pushesDropped, pushesExpired } = engine.counters();
  return pushesSent + pushesMerged + pushesRejected + pushesGone + pushesDropped + pushesExpired;
}

/** What a provider answers for each token, by how often it was asked for that token. */
const VERDICTS: Readonly<Record<string, (attempt: number) => PushResult>> = {
  well: () => SENT,
  busy: (attempt) => attempt % 3 === 0 ? SENT : { verdict: "retry", reason: "busy" },
  refused: () => ({ verdict: "rejected", reason: "no" }),
  foreign: () => ({ verdict: "rejected", reason: "no", scope: "unclear" }),
  dead: () => ({ verdict: "gone", reason: "dead" }),
  moved: (attempt) => attempt === 1 ? { verdict: "replaced", token: "well 2" } : SENT,
  never: () => ({ verdict: "retry", reason: "never", afterMs: DAY_MS }),
};

/** A user of each kind, whose phone has left, and how often each verdict was given. */
async function phones(place: (typeof PLACES)[number]): Promise<Lives & { given: Record<string, number> }> {
  const lives = await createLives({}, place);
  const attempts = new Map<string, number>();
  const given: Record<string, number> = {};
  lives.provider.verdict = (token) => {
    const attempt = (attempts.get(token) ?? 0) + 1;
    attempts.set(token, attempt);
    const result = (VERDICTS[token] ?? VERDICTS["well"]!)(attempt);
    given[result.verdict] = (given[result.verdict] ?? 0) + 1;
    return result;
  };
  for (const user of Object.keys(VERDICTS)) (await lives.device(user, { deviceId: user, token: user })).leave();
  await lives.clock.settle();
  return Object.assign(lives, { given });
}

test.each(PLACES)("each push that was queued is counted once more, when and as it ends, on %s", async (place) => {
  const lives = await phones(place);
  const { engine, clock, device, given } = lives;
  const publish = async (to: string, message: Partial<OutgoingMessage> = {}): Promise<Position> => {
    const { position } = await engine.publish({ to, content: "hi", ...message });
    await clock.settle();
    // At every moment.
    expect(engine.counters().pushesQueued).toBe(ended(lives) + await lives.waiting());
    return position!;
  };
  for (const user of Object.keys(VERDICTS)) await publish(user);
  await publish("never", { ttl: 60 });
  // Merged as they leave, and merged into a row that stands for all that is more than 20.
  for (let at = 0; at < 3; at++) await publish("well", { urgency: "low" });
  for (let at = 0; at < 30; at++) await publish("never", { urgency: at % 10 === 0 ? "high" : "normal" });
  // Superseded, and read.
  for (let at = 0; at < 3; at++) await publish("never", { notification: { collapseKey: "score" } });
  await engine.subscribe("well", { to: "*", channel: "room" });
  await publish("*", { channel: "room" });
  (await device("reader", { deviceId: "phone", token: "reader" })).leave();
  const laptop = await device("reader", { deviceId: "laptop", attended: true, habit: "sees" });
  const position = await publish("reader", { id: "read" });
  await laptop.request({ type: "mark", ref: 0, kind: "read", topic: "reader/default", ...position });
  for (const ms of [1_000, 60_000, 60_000, 600_000]) {
    await clock.advance(ms);
    expect(engine.counters().pushesQueued).toBe(ended(lives) + await lives.waiting());
  }
  for (const user of Object.keys(VERDICTS)) await publish(user);
  await clock.advance(600_000);
  const counters = engine.counters();
  expect(counters.pushesQueued).toBe(ended(lives) + await lives.waiting());
  expect(await lives.waiting()).toBeGreaterThan(20);
  // Each request is one push, though some stood for several messages.
  expect(counters).toMatchObject({
    pushesSent: given["sent"]! + given["replaced"]!,
    pushesRetried: given["retry"],
    pushesRejected: given["rejected"],
    ...{ pushesGone: 1, pushesDropped: 3, pushesExpired: 1 },
    ...{ targetsGone: 1, targetsReplaced: 1 },
  });
  // Two of the low ones left in the first one's push. Of 33 for "never" 20 wait by themselves, one for the rest: 12 were added to it.
  expect(counters.pushesMerged).toBe(2 + 12);
  expect(counters.targetsRested).toBe(3);
});

test.each(PLACES)("after a restart all begin at 0, and what waited ends without having been queued, on %s", async (place) => {
  const lives = await phones(place);
  let isDown = true;
  lives.provider.verdict = () => isDown ? { verdict: "retry", reason: "down" } : SENT;
  await lives.say("one", { to: "well" });
  await lives.say("two", { to: "busy" });
  expect(lives.engine.counters()).toMatchObject({ pushesQueued: 2, pushesSent: 0, pushesRetried: 2 });
  await lives.restart();
  expect(Object.entries(lives.engine.counters()).filter(([name, value]) => name.startsWith("push") && value !== 0)).toEqual([]);
  isDown = false;
  await lives.clock.advance(120_000);
  expect(lives.engine.counters()).toMatchObject({ pushesQueued: 0, pushesSent: 2 });
  expect(await lives.waiting()).toBe(0);
});
