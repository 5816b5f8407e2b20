import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { fail, namesOf, wholeOf } from "./command_line.ts";
import { measureIdle, measureLoads } from "./measure.ts";
import { FULL, lineUp, nameOf, orderOf, type PeerName, PEERS, type Plan, QUICK } from "./plan.ts";
import { plot } from "./plot.ts";
import { Progress } from "./progress.ts";
import { type Results, rowsOf } from "./results.ts";
import { denoVersion, linesOf, surroundings } from "./surroundings.ts";
import { tables } from "./table.ts";
import { withTallies } from "./tally.ts";
import { noteLines, targetLines } from "./targets.ts";

// npm run bench [-- --quick --json FILE --svg FILE --peers a,b --rounds N --young MiB]: what does it cost to bring a message to 1,000 sockets?

const { values: flags } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "string" },
    svg: { type: "string", default: fileURLToPath(new URL("../fan_out.svg", import.meta.url)) },
    peers: { type: "string", default: PEERS.join(",") },
    rounds: { type: "string" },
    young: { type: "string" },
  },
});

const quickOrFull = flags.quick ? QUICK : FULL;
const plan: Plan = {
  ...quickOrFull,
  rounds: wholeOf("--rounds", flags.rounds) ?? quickOrFull.rounds,
  youngMiB: wholeOf("--young", flags.young) ?? quickOrFull.youngMiB,
};
const peers = namesOf("peer", flags.peers, PEERS);
const around = surroundings("bench", ["ws", "socket.io"], [denoVersion()]);
const results = await withTallies((folder) => runRounds(plan, peers, folder)).catch((error: Error) => fail(error.message, 1));
report();

/** Everyone once per round, each time in another order; then the next round. */
async function runRounds(plan: Plan, peers: readonly PeerName[], folder: string): Promise<Results[]> {
  const contenders = lineUp(peers, plan);
  const results = contenders.map((contender): Results => ({ contender, rounds: [], rss: [] }));
  const idlers = contenders.filter(({ again }) => !again).length;
  const progress = new Progress(plan.rounds * contenders.length + Math.min(plan.idleRounds, plan.rounds) * idlers);
  try {
    for (let round = 0; round < plan.rounds; round++) {
      for (const { contender, rounds, rss } of orderOf(results, round)) {
        progress.step(`round ${round + 1}, ${nameOf(contender)}`);
        rounds.push(await measureLoads(contender, plan, folder));
        if (round >= plan.idleRounds || contender.again) continue;
        progress.step(`round ${round + 1}, ${nameOf(contender)}, idle`);
        rss.push(await measureIdle(contender, plan, folder));
      }
    }
  } finally {
    progress.end();
  }
  return results;
}

function report(): void {
  const deliveries = results.flatMap(({ rounds }) => rounds.flat()).reduce((sum, sample) => sum + sample.deliveries, 0);
  console.log(`${tables(results, plan)}

${linesOf(around)}

${plan.subscribers} subscribers, ${plan.rounds} rounds, medians; spread is least to most. ${
    deliveries.toLocaleString("en")
  } deliveries were counted, none is missing.
Loopback charges the receiver's TCP work to the sender, the same for everybody. Method: bench/README.md.

${[...targetLines(results, plan), "", ...noteLines(results, plan)].join("\n")}`);
  const captions = [
    around.machine,
    around.versions,
    `commit ${around.commit}, medians of ${plan.rounds} rounds; the thin line spans them`,
  ];
  writeFileSync(flags.svg, plot(results, plan, captions));
  if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(rowsOf(results, plan), null, 2)}\n`);
  if (results.some(({ rounds }) => rounds.flat().some((sample) => sample.void))) {
    console.log("\nIn void rounds the receiver was the bottleneck: their figures are left out.");
  }
}
