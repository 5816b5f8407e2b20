import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import type { Figure } from "./core/figures.ts";
import { FULL, QUICK } from "./core/plan.ts";
import { plot } from "./core/plot.ts";
import { runStep } from "./core/run_step.ts";
import { SCENARIOS } from "./core/steps.ts";
import { fail, namesOf } from "./fan_out/command_line.ts";
import { denoVersion, linesOf, surroundings } from "./fan_out/surroundings.ts";
import { startServer } from "../test/nats/servers.ts";

// npm run bench:core [-- --quick --only a,b --steps c,d --storage jetstream --json FILE --svg FILE]: what does one person's load do to the others, and a crowd to the engine?

const { values: flags } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string" },
    steps: { type: "string" },
    storage: { type: "string", default: "sqlite" },
    json: { type: "string" },
    svg: { type: "string" },
  },
});

const [storage] = namesOf("storage", flags.storage, ["sqlite", "jetstream"]);
const here = SCENARIOS.filter(({ onNats }) => storage === "sqlite" || onNats);
const usual = here.filter(({ isSlow }) => isSlow === undefined).map(({ name }) => name);
const chosen = namesOf("scenario", flags.only ?? usual.join(","), here.map(({ name }) => name));
const { million, stepMs } = flags.quick ? QUICK : FULL;
const wanted = flags.steps?.split(",");
const around = surroundings("bench:core", [], "Deno" in globalThis ? [denoVersion()] : []);
const figures: Figure[] = [];
const started = performance.now();
// Whoever ends it early leaves nothing behind.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
for (const { name, steps } of SCENARIOS) if (chosen.includes(name)) await run(name, Object.keys(steps));
report();

/** The steps of a scenario share a folder, or a server. */
async function run(scenario: string, steps: readonly string[]): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "peyk-bench-core-"));
  const tidy = (): void => rmSync(folder, { recursive: true, force: true });
  process.once("exit", tidy);
  const server = storage === "jetstream" ? await startServer({ jetstream: true }) : undefined;
  try {
    for (const step of steps) {
      if (wanted?.includes(step) === false) continue;
      console.error(`${scenario}, ${step} (${Math.round((performance.now() - started) / 1_000)} s)`);
      const args = [scenario, step, flags.quick ? "quick" : "full", folder, ...(server ? [server.url] : [])];
      const fault = await runStep(args, scenario === "million" ? million.limitMs : stepMs, (figure) => figures.push(figure));
      if (fault !== undefined) figures.push({ scenario, measured: `the step "${step}"`, value: fault });
    }
  } finally {
    await server?.close();
    process.off("exit", tidy);
    tidy();
  }
}

function report(): void {
  console.table(figures.map(({ scenario, measured, value, calm = "", before = "", target = "" }) => {
    return { scenario, measured, value, "nobody misbehaves": calm, before, target };
  }));
  console.log(`${linesOf(around)}

${storage}, real time, connections that are no sockets. "before": as measured before the core was changed for it, on another day.
It took ${Math.round((performance.now() - started) / 1_000)} s.`);
  if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(figures, null, 2)}\n`);
  const captions = [around.machine, around.versions, `commit ${around.commit}`];
  if (flags.svg !== undefined) writeFileSync(flags.svg, plot(figures, captions));
  if (figures.length === 0) fail("nothing was measured", 1);
  process.exit(0);
}
