import { measureBurst, once, seconds, together } from "./burst.ts";
import { measureClose, measureNextStart } from "./burst_close.ts";
import { measureReturns, measureSlowReaders } from "./catching_up.ts";
import { measureCoalesced } from "./coalesced.ts";
import { fillMembers } from "./crowd_stage.ts";
import { measureDevices } from "./devices.ts";
import type { Ground } from "./ground.ts";
import { measureHeld } from "./held.ts";
import { measureLost } from "./lost.ts";
import { measureMarks } from "./marks.ts";
import { measureNeighbours } from "./neighbours.ts";
import { NUISANCES } from "./nuisances.ts";
import { measureRequests } from "./requests.ts";

export type Step = (ground: Ground) => Promise<void>;

export interface Scenario {
  name: string;
  /** Each in a process of its own, one after the other. */
  steps: Readonly<Record<string, Step>>;
  /** It runs on JetStream too. */
  onNats?: true;
  /** It runs only when it is named. */
  isSlow?: true;
}

/** Everything that can be asked for, in the order in which it runs. */
export const SCENARIOS: readonly Scenario[] = [
  { name: "coalesced", steps: { measure: measureCoalesced } },
  { name: "devices", steps: { measure: measureDevices } },
  {
    name: "neighbours",
    steps: Object.fromEntries(Object.keys(NUISANCES).map((name) => [name, (ground) => measureNeighbours(name, ground)])),
  },
  { name: "burst-a", onNats: true, steps: { fill: fillMembers, measure: (ground) => measureBurst(seconds, ground) } },
  { name: "burst-b", onNats: true, steps: { fill: fillMembers, measure: (ground) => measureBurst(together, ground) } },
  { name: "burst-close", onNats: true, steps: { fill: fillMembers, close: measureClose, next: measureNextStart } },
  {
    name: "million",
    isSlow: true,
    steps: { fill: (ground) => fillMembers(ofMillion(ground)), measure: (ground) => measureBurst(once, ofMillion(ground)) },
  },
  { name: "lost", steps: { measure: measureLost } },
  {
    name: "held",
    steps: {
      short: (ground) => measureHeld({ messages: 1_500, bytes: 200 }, ground),
      long: (ground) => measureHeld({ messages: 300, bytes: 60_000 }, ground),
    },
  },
  { name: "marks", steps: { measure: measureMarks } },
  { name: "requests", steps: { measure: measureRequests } },
  {
    name: "returns",
    steps: {
      many: (ground) => measureReturns("many", ground),
      far: (ground) => measureReturns("far", ground),
      room: (ground) => measureReturns("room", ground),
    },
  },
  { name: "slow-readers", steps: { measure: measureSlowReaders } },
];

/** The same ground with a crowd of its own. */
function ofMillion(ground: Ground): Ground {
  const { members, pushedMs } = ground.plan.million;
  return { ...ground, plan: { ...ground.plan, burst: { ...ground.plan.burst, members, pushedMs } } };
}
