import process from "node:process";
import type { Figure } from "./figures.ts";
import { FULL, QUICK } from "./plan.ts";
import { SCENARIOS } from "./steps.ts";

// The process of one step: tells every figure on standard output as soon as it is known, and ends, whatever is still under way.

const [scenario, step, size, folder, nats] = process.argv.slice(2) as [string, string, "quick" | "full", string, string?];
const measure = SCENARIOS.find(({ name }) => name === scenario)!.steps[step]!;
// The engine's own timers don't keep a process alive.
const alive = setInterval(() => {}, 1_000);
await measure({
  plan: size === "quick" ? QUICK : FULL,
  folder,
  nats,
  report: (measured, value, rest) => {
    console.error(`  ${measured}: ${value}${rest?.calm === undefined ? "" : ` (nobody misbehaves: ${rest.calm})`}`);
    console.log(JSON.stringify({ scenario, measured, value, ...rest } satisfies Figure));
  },
  say: (text) => console.error(`  … ${text}`),
});
clearInterval(alive);
process.exit(0);
