import { expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import type { Journal } from "../../src/delivery/journal.ts";
import type { Outbox } from "../../src/ports/outbox.ts";
import { RestingTargets } from "../../src/push/resting.ts";

const journal = { note() {} } as unknown as Journal;
const outbox = { waiting: () => Promise.resolve([]) } as unknown as Outbox;

test("targets that rested once, and that nothing is sent to any more, are not remembered", async () => {
  const clock = createManualClock();
  const resting = new RestingTargets(outbox, journal, clock);
  const rest = (targetId: string, ms: number): Promise<void> =>
    resting.rest(targetId, { until: clock.now() + ms, reason: "HTTP 503", isDoubted: false });
  await rest("long", 600_000);
  for (let second = 0; second < 500; second++) {
    await rest(`target ${second}`, 1_000);
    await clock.advance(1_000);
  }
  expect(resting.remembered).toBeLessThan(10);
  expect(resting.rests("long")).toBe(true);
  await clock.advance(100_000);
  expect(resting.rests("long")).toBe(false);
});
