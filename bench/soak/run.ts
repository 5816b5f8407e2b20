import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { fail, namesOf, wholeOf } from "../fan_out/command_line.ts";
import { Progress } from "../fan_out/progress.ts";
import { denoVersion, linesOf, surroundings } from "../fan_out/surroundings.ts";
import { plot } from "./plot.ts";
import { FULL_MINUTES, POINT_MS } from "./plan.ts";
import { report } from "./report.ts";
import { soak } from "./soak.ts";

// npm run soak [-- --minutes N --storage memory --svg FILE --json FILE --snapshots FOLDER --leak BYTES]: does memory grow while people come and go?

const { values: flags } = parseArgs({
  options: {
    minutes: { type: "string" },
    storage: { type: "string", default: "sqlite" },
    svg: { type: "string" },
    json: { type: "string" },
    snapshots: { type: "string" },
    leak: { type: "string", default: "0" },
  },
});

const minutes = wholeOf("--minutes", flags.minutes) ?? FULL_MINUTES;
const svg = flags.svg ?? (minutes < FULL_MINUTES ? undefined : fileURLToPath(new URL("../soak.svg", import.meta.url)));
const leak = flags.leak === "0" ? 0 : wholeOf("--leak", flags.leak)!;
const [storage] = namesOf("storage", flags.storage, ["sqlite", "memory"]);
const around = surroundings("soak", ["ws", "xstate"], "Deno" in globalThis ? [denoVersion()] : []);
const folder = mkdtempSync(join(tmpdir(), "peyk-soak-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
// Whoever ends it early leaves nothing behind.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));

const progress = new Progress(minutes * 60_000 / POINT_MS);
const results = await soak({
  ...{ minutes, leak },
  file: storage === "sqlite" ? join(folder, "soak.db") : undefined,
  snapshots: flags.snapshots,
  said: (text) => progress.step(text),
}).finally(() => progress.end());
const { lines, faults } = report(results, storage!);
console.log([lines.join("\n"), linesOf(around)].join("\n\n"));
const captions = [...lines.slice(0, 2), around.machine, `${around.versions}, commit ${around.commit}`];
if (svg !== undefined) {
  writeFileSync(svg, plot(results.points, `Memory of an engine while people come and go, ${storage}`, captions));
}
if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify({ around, ...results }, null, 2)}\n`);
if (faults.length > 0) fail(`\n${faults.join("\n")}`, 1);
process.exit(0);
