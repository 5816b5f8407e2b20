import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { orderOf } from "../fan_out/plan.ts";
import { Progress } from "../fan_out/progress.ts";
import { surroundings } from "../fan_out/surroundings.ts";
import { brokerVersions } from "./broker.ts";
import { durableSteps, measureDurable } from "./durable.ts";
import { measureLoads } from "./measure.ts";
import { FULL, type PeerName, PEERS, type Plan, QUICK } from "./plan.ts";
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

const plan = planOf(flags.quick ? QUICK : FULL, flags.rounds);
const parts = namesOf("part", flags.parts, PARTS);
const peers = parts.includes("fan-out") ? namesOf("peer", flags.peers, PEERS) : [];
const around = { ...surroundings(), versions: versions(), command: command() };
const measured = await measure().catch((error: Error) => fail(error.message, 1));
report();

function planOf(plan: Plan, rounds: string | undefined): Plan {
  if (rounds === undefined) return plan;
  const count = Number(rounds);
  if (!Number.isInteger(count) || count < 1) fail(`--rounds takes a whole number from 1, not "${rounds}".`);
  return { ...plan, rounds: count, durableRounds: count };
}

function namesOf<Name extends string>(what: string, list: string, known: readonly Name[]): Name[] {
  const names = list.split(",");
  const unknown = names.find((name) => !(known as readonly string[]).includes(name));
  if (unknown !== undefined) fail(`There is no ${what} "${unknown}". There are ${known.join(", ")}.`);
  return known.filter((name) => names.includes(name));
}

function fail(reason: string, code = 2): never {
  console.error(reason);
  process.exit(code);
}

function command(): string {
  return ["npm run bench:cluster", ...(process.argv.length > 2 ? ["--", ...process.argv.slice(2)] : [])].join(" ");
}

function versions(): string {
  const of = (name: string): string => {
    const manifest = fileURLToPath(
      new URL(`../../${name === "peyk" ? "" : `node_modules/${name}/`}package.json`, import.meta.url),
    );
    return `${name} ${JSON.parse(readFileSync(manifest, "utf8")).version}`;
  };
  const packages = ["@nats-io/transport-node", "@nats-io/jetstream", "socket.io", "@socket.io/redis-adapter", "redis", "peyk"];
  try {
    return [`node ${process.versions.node}`, ...brokerVersions(peers), ...packages.map(of)].join(", ");
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
      fanOut: await measureFanOut(peers, step),
      durable: durable ? await measureDurable(plan, step) : [],
      tailing: tailing ? await measureTailing(plan, step) : [],
    };
  } finally {
    progress.end();
  }
}

/** Everyone once per round, each time in another order; then the next round. */
async function measureFanOut(peers: readonly PeerName[], step: (what: string) => void): Promise<Results[]> {
  const results = peers.map((peer): Results => ({ peer, rounds: [] }));
  // Where there is a file system in memory, the tally belongs there.
  const folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "peyk-bench-"));
  try {
    for (let round = 0; round < plan.rounds && peers.length > 0; round++) {
      for (const { peer, rounds } of orderOf(results, round)) {
        step(`round ${round + 1}, ${peer}`);
        rounds.push(await measureLoads(peer, plan, folder));
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  return results;
}

function report(): void {
  const samples = measured.fanOut.flatMap(({ rounds }) => rounds.flat());
  const deliveries = samples.reduce((sum, sample) => sum + sample.deliveries, 0).toLocaleString("en");
  console.log(`${tables(measured, plan)}

machine   ${around.machine}
versions  ${around.versions}
commit    ${around.commit}
command   ${around.command}

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
