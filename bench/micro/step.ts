/** What a session's step costs: remembered, and asked of XState for the first time. `node bench/micro/step.ts` */
import { DEFAULT_POLICY } from "../../src/session/policy.ts";
import { createStepper, SessionEvent } from "../../src/session/step.ts";
import type { StateId, Stepper } from "../../src/session/step.ts";

const HITS = 20_000_000;
const ROUNDS = 5;
/** A day in the life of a session, ending where it began. */
const DAY = [
  "attach.visible",
  "target.some",
  "message.alert",
  "message.alert",
  "message.quiet",
  "message.inApp",
  "overdue",
  "message.alert",
  "seen",
  "background",
  "message.alert",
  "foreground",
  "closed.lost",
  "message.alert",
  "grace",
  "target.none",
] as const;
const day: readonly SessionEvent[] = DAY.map((name) => SessionEvent[name]);

function walk(stepper: Stepper, steps: number): StateId {
  let state = stepper.start;
  for (let done = 0; done < steps; done++) state = stepper.step(state, day[done & 15]!).next;
  return state;
}

/** Nanoseconds each, of the fastest round. */
function measure(count: number, run: () => void): number {
  let least = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    run();
    least = Math.min(least, performance.now() - start);
  }
  return (least * 1e6) / count;
}

const stepper = createStepper(DEFAULT_POLICY);
walk(stepper, 1_000_000);
const hit = measure(HITS, () => walk(stepper, HITS));
const fresh = 200;
const miss = measure(fresh * day.length, () => {
  for (let n = 0; n < fresh; n++) walk(createStepper(DEFAULT_POLICY), day.length);
});
console.log(`hit   ${hit.toFixed(1)} ns`);
console.log(`miss  ${miss.toFixed(0)} ns`);
