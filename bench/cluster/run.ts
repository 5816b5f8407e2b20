import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { fail, namesOf, wholeOf } from "../fan_out/command_line.ts";
import { orderOf } from "../fan_out/plan.ts";
import { Progress } from "../fan_out/progress.ts";
import { linesOf, surroundings } from "../fan_out/surroundings.ts";
import { withTallies } from "../fan_out/tally.ts";
import { brokerVersions } from "./broker.ts";
import { durableSteps, measureDurable } from "./durable.ts";
import { measureLoads } from "./measure.ts";
import { FULL, PEERS, type Plan, QUICK } from "./plan.ts";
import { plot } from "./plot.ts";
import { type Measured, type Results, rowsOf } from "./results.ts";
import { tables } from "./table.ts";
import { measureTailing, tailingSteps } from "./tailing.ts";
import { noteLines, targetLines } from "./targets.ts";

// npm run bench:cluster [-- --quick --json FILE --svg FILE --parts a,b --peers a,b --rounds N]: what do many nodes cost?

const PARTS = ["fan-out", "durable", "tailing"] as const;

const { values: flags } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "string" },
    svg: { type: "string", default: fileURLToPath(new URL("../cluster.svg", import.meta.url)) },
    parts: { type: "string", default: PARTS.join(",") },
    peers: { type: "string", default: PEERS.join(",") },
    rounds: { type: "string" },
  },
});

const PACKAGES = ["@nats-io/transport-node", "@nats-io/jetstream", "socket.io", "@socket.io/redis-adapter", "redis"];

const plan = planOf(flags.quick ? QUICK : FULL, wholeOf("--rounds", flags.rounds));
const parts = namesOf("part", flags.parts, PARTS);
const peers = parts.includes("fan-out") ? namesOf("peer", flags.peers, PEERS) : [];
const around = surroundings("bench:cluster", PACKAGES, brokers());
const measured = await measure().catch((error: Error) => fail(error.message, 1));
report();

function planOf(plan: Plan, rounds: number | undefined): Plan {
  return rounds === undefined ? plan : { ...plan, rounds, durableRounds: rounds };
}

function brokers(): string[] {
  try {
    return brokerVersions(peers);
  } catch (error) {
    return fail((error as Error).message, 1);
  }
}

async function measure(): Promise<Measured> {
  const [durable, tailing] = [parts.includes("durable"), parts.includes("tailing")];
  const progress = new Progress(
    plan.rounds * peers.length + (durable ? durableSteps(plan) : 0) + (tailing ? tailingSteps(plan) : 0),
  );
  const step = (what: string): void => progress.step(what);
  try {
    return {
      fanOut: await withTallies((folder) => measureFanOut(folder, step)),
      durable: durable ? await measureDurable(plan, step) : [],
      tailing: tailing ? await measureTailing(plan, step) : [],
    };
  } finally {
    progress.end();
  }
}

/** Everyone once per round, each time in another order; then the next round. */
async function measureFanOut(folder: string, step: (what: string) => void): Promise<Results[]> {
  const results = peers.map((peer): Results => ({ peer, rounds: [] }));
  for (let round = 0; round < plan.rounds && peers.length > 0; round++) {
    for (const { peer, rounds } of orderOf(results, round)) {
      step(`round ${round + 1}, ${peer}`);
      rounds.push(await measureLoads(peer, plan, folder));
    }
  }
  return results;
}

function report(): void {
  const samples = measured.fanOut.flatMap(({ rounds }) => rounds.flat());
  const deliveries = samples.reduce((sum, sample) => sum + sample.deliveries, 0).toLocaleString("en");
  console.log(`${tables(measured, plan)}

${linesOf(around)}

${plan.subscribers} subscribers, ${plan.rounds} rounds, medians; spread is least to most. ${deliveries} deliveries were counted, none is missing.
CPU is that of all node processes (nats-bare: the publishing client), one burst under way at a time; the broker's stands beside it.
Loopback charges the receiver's TCP work to the sender, the same for everybody. Method: bench/cluster/README.md.

${[...targetLines(measured, plan), "", ...noteLines(measured)].join("\n")}`);
  const captions = [
    around.machine,
    ...around.versions.split(/, (?=@socket)/),
    `commit ${around.commit}, medians of ${plan.rounds} rounds; the thin line spans them`,
  ];
  writeFileSync(flags.svg, plot(measured, plan, captions));
  if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(rowsOf(measured, plan), null, 2)}\n`);
  if (samples.some((sample) => sample.void)) {
    console.log("\nIn void rounds the receiver was the bottleneck at full speed: their figures of that part are left out.");
  }
}
