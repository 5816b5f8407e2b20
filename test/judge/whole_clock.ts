import { createManualClock, type ManualClock } from "../../adapters/conformance/manual_clock.ts";

/** More timers without a wait, set in one millisecond, than an engine that makes progress can need. */
const MAX_AT_ONCE = 1_000;

/** A clock whose time is whole milliseconds, as wall clocks tell it, whatever fraction is waited for. */
export interface WholeClock extends ManualClock {
  /** When more timers without a wait were set than are of use. From then on, as on a real clock, they wait a millisecond. */
  readonly spunAt: number | undefined;
}

export function createWholeClock(): WholeClock {
  const clock = createManualClock();
  const { setTimeout } = clock;
  let spunAt: number | undefined;
  let at = 0;
  let count = 0;
  return Object.defineProperty(
    Object.assign(clock, {
      setTimeout: (task: () => void, ms: number) => {
        const whole = Math.ceil(ms);
        if (whole > 0) return setTimeout(task, whole);
        if (clock.elapsed() > at) count = 0;
        at = clock.elapsed();
        if (++count > MAX_AT_ONCE) spunAt ??= at;
        return setTimeout(task, spunAt === undefined || count === 1 ? 0 : 1);
      },
    }),
    "spunAt",
    { get: () => spunAt },
  ) as WholeClock;
}
