import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { brokerVersions } from "./cluster/broker.ts";
import { fail, namesOf } from "./fan_out/command_line.ts";
import { linesOf, surroundings } from "./fan_out/surroundings.ts";
import { measureLogs } from "./jetstream/logs.ts";
import { measureMemory } from "./jetstream/memory.ts";
import { measurePeople } from "./jetstream/people.ts";
import { type Figure, FULL, type Part, PARTS, type Plan, QUICK, type Replicas, type Report } from "./jetstream/plan.ts";
import { type Stage, startStage } from "./jetstream/stage.ts";
import { measureState } from "./jetstream/state.ts";

// npm run bench:jetstream [-- --quick --json FILE --parts a,b --replicas 1,3]: what does one thing cost on JetStream?
// The figures of adapters/jetstream/SIZING.md that `npm run bench:cluster` does not give.

const { values: flags } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "string" },
    parts: { type: "string" },
    replicas: { type: "string", default: "1,3" },
  },
});

const MEASURES: Record<Part, (stage: Stage, plan: Plan, report: Report) => Promise<void>> = {
  state: measureState,
  logs: measureLogs,
  people: measurePeople,
  memory: measureMemory,
};

const plan = flags.quick ? QUICK : FULL;
// Of a few users a server's memory says nothing.
const parts = namesOf("part", flags.parts ?? PARTS.slice(0, flags.quick ? -1 : undefined).join(","), PARTS);
const sizes = namesOf("number of servers", flags.replicas, ["1", "3"]).map((size) => Number(size) as Replicas);
const around = surroundings("bench:jetstream", ["@nats-io/transport-node"], brokerVersions([]));
const figures: Figure[] = [];
for (const replicas of sizes) {
  for (const part of parts) {
    await measure(part, replicas).catch((error: Error) => fail(`${part}, R${replicas}: ${error.message}`, 1));
  }
}
report();

/** Each part on servers of its own. Every figure is told as soon as it is known. */
async function measure(part: Part, replicas: Replicas): Promise<void> {
  console.error(`R${replicas}, ${part}`);
  const stage = await startStage(replicas);
  try {
    await MEASURES[part](stage, plan, (measured, unit, value) => {
      console.error(`  ${measured}: ${digits(value)} ${unit}`);
      figures.push({ part, measured, unit, replicas, value });
    });
  } finally {
    await stage.close();
  }
}

function report(): void {
  const rows = Map.groupBy(figures, ({ measured, unit }) => `${measured}, ${unit}`);
  console.table([...rows].map(([measured, found]) => ({
    measured,
    ...Object.fromEntries(found.map(({ replicas, value }) => [`R${replicas}`, digits(value)])),
  })));
  console.log(`${linesOf(around)}

${plan.users} users, ${plan.entries} entries. Rates: 64 under way, from one process. Milliseconds: one after the other, the median.
R3 is three servers on this one machine.`);
  if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(figures, null, 2)}\n`);
}

function digits(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString("en") : value.toPrecision(2);
}
