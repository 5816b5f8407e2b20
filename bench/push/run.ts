import { execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { fail, namesOf, wholeOf } from "../fan_out/command_line.ts";
import { Progress } from "../fan_out/progress.ts";
import { denoVersion, linesOf, surroundings } from "../fan_out/surroundings.ts";
import { measureDecision, measureGoaway } from "./engine.ts";
import { Ground } from "./ground.ts";
import { measureMillion } from "./million.ts";
import { entriesOf, FULL, PEERS_FOLDER, QUICK, type Result, type Scenario, SCENARIOS, SERVICES } from "./plan.ts";
import { plot } from "./plot.ts";
import { type Line, linesOfEngine, table, targetLines } from "./table.ts";

// npm run bench:push [-- --quick --only apns,goaway --rounds N --json FILE --svg FILE]: what does a push cost, and what becomes of many?

const { values: flags } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string", default: SCENARIOS.join(",") },
    rounds: { type: "string" },
    json: { type: "string" },
    svg: { type: "string", default: fileURLToPath(new URL("../push.svg", import.meta.url)) },
  },
});

const plan = { ...flags.quick ? QUICK : FULL };
plan.rounds = wholeOf("--rounds", flags.rounds) ?? plan.rounds;
const chosen = namesOf("scenario", flags.only, SCENARIOS);
const services = SERVICES.filter((service) => chosen.includes(service));
if (services.length > 0) installPeers();
const around = surroundings("bench:push", ["web-push", "jose"], [denoVersion()]);
const results: Result[] = services.flatMap((service) => entriesOf(service).map((entry) => ({ entry, costs: [] })));
const lines: Line[] = [];
const progress = new Progress(plan.rounds * results.length + chosen.length - services.length);
const ground = await Ground.start();
try {
  for (let round = 0; round < plan.rounds; round++) {
    // Each round in another order, so that what comes and goes on the machine meets everybody.
    for (let turn = 0; turn < results.length; turn++) {
      const { costs, entry } = results[(turn + round) % results.length]!;
      progress.step(`round ${round + 1}: ${entry.service}, ${entry.contender} on ${entry.runtime}`);
      costs.push(await ground.measure(entry, plan));
    }
  }
  const rest: Partial<Record<Scenario, () => Promise<Line[]>>> = {
    goaway: () => measureGoaway(ground, plan),
    decision: () => measureDecision(plan),
    million: () => measureMillion(flags.quick),
  };
  for (const scenario of chosen) {
    const measure = rest[scenario];
    if (measure === undefined) continue;
    progress.step(scenario);
    lines.push(...await measure());
  }
} catch (error) {
  fail(error instanceof Error ? error.message : String(error), 1);
} finally {
  progress.end();
  await ground.close();
}
report();

/** What is compared with and nothing else needs. */
function installPeers(): void {
  if (existsSync(new URL("node_modules", PEERS_FOLDER))) return;
  console.error("installing what Peyk is compared with …");
  execFileSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
    cwd: fileURLToPath(PEERS_FOLDER),
    stdio: ["ignore", "ignore", "inherit"],
  });
}

function report(): void {
  const parts = [
    services.map((service) => table(service, results)).join("\n\n"),
    linesOfEngine(lines),
    targetLines(results).join("\n"),
    linesOf(around),
    `${plan.rounds} rounds of ${
      plan.pushes.toLocaleString("en")
    } pushes, medians; spread is least to most. Every push was counted by the service.`,
  ];
  console.log(parts.filter((part) => part !== "").join("\n\n"));
  const captions = [around.machine, around.versions, `commit ${around.commit}, medians of ${plan.rounds} rounds`];
  if (services.length > 0) writeFileSync(flags.svg, plot(results, captions));
  if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify({ around, results, lines }, null, 2)}\n`);
}
