/**
 * `npm run consumers`: builds and runs Peyk, packed as it is published, in each way of `cases/`, and prints a table.
 * `-- --short` runs what CI runs; `-- NAME …` only those; `-- --keep` leaves the folders to look at.
 */
import { mkdtempSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import type { Consumer } from "./consumer.ts";
import { Project } from "./project.ts";

interface Outcome {
  readonly consumer: Consumer;
  readonly seconds: number;
  readonly says: string;
  readonly failed: boolean;
}

const { values: { short, keep }, positionals: names } = parseArgs({
  options: { short: { type: "boolean" }, keep: { type: "boolean" } },
  allowPositionals: true,
});

const cases = join(import.meta.dirname!, "cases");
const files = readdirSync(cases).filter((file) => file.endsWith(".ts")).sort();
const all = (await Promise.all(files.map((file) => import(join(cases, file)) as Promise<{ consumers: Consumer[] }>)))
  .flatMap(({ consumers }) => consumers);
const unknown = names.filter((name) => !all.some((consumer) => consumer.name === name));
if (unknown.length > 0) {
  console.error(`no consumer is named ${unknown.join(", ")}; there are: ${all.map(({ name }) => name).join(", ")}`);
  process.exit(2);
}
const chosen = all.filter((consumer) => names.length > 0 ? names.includes(consumer.name) : !short || consumer.short);

const folder = realpathSync(mkdtempSync(join(tmpdir(), "peyk-consumers-")));
const outcomes: Outcome[] = [];
try {
  const tarball = await pack();
  for (const [at, consumer] of chosen.entries()) {
    console.log(`${at + 1} of ${chosen.length}: ${consumer.name}, ${consumer.shows}`);
    outcomes.push(await tryOut(consumer, tarball));
  }
} finally {
  if (keep) console.log(`kept in ${folder}`);
  else rmSync(folder, { recursive: true, force: true });
}
printTable();
const failed = outcomes.filter((outcome) => outcome.failed).length;
console.log(`${outcomes.length - failed} passed, ${failed} failed`);
process.exitCode = failed > 0 || outcomes.length === 0 ? 1 : 0;

/** The package as npm publishes it: `npm pack` builds it. */
async function pack(): Promise<string> {
  const packing = new Project(join(folder, "packed"));
  const repository = join(import.meta.dirname!, "../..");
  await packing.run("npm", "--prefix", repository, "pack", repository, "--silent", "--pack-destination", packing.folder);
  const tarball = readdirSync(packing.folder).find((file) => file.endsWith(".tgz"));
  if (tarball === undefined) throw new Error("npm pack left no tarball");
  return join(packing.folder, tarball);
}

async function tryOut(consumer: Consumer, tarball: string): Promise<Outcome> {
  const started = performance.now();
  const done = (says: string, failed: boolean): Outcome => {
    const seconds = (performance.now() - started) / 1_000;
    console.log(`${failed ? "FAILED" : "ok"} after ${seconds.toFixed(1)} s\n${failed ? says : ""}`);
    return { consumer, seconds, says, failed };
  };
  try {
    const project = new Project(join(folder, consumer.name.replace(/\W+/g, "-")));
    await project.install(tarball, ...consumer.packages ?? []);
    return done(await consumer.run(project), false);
  } catch (error) {
    return done((error as Error).stack ?? String(error), true);
  }
}

function printTable(): void {
  const rows = outcomes.map(({ consumer, seconds, says, failed }) =>
    `| ${consumer.name} | ${consumer.shows} | ${failed ? "FAILED" : says} | ${seconds.toFixed(1)} |`
  );
  console.log(["| consumer | what is built and run | outcome | s |", "|---|---|---|---|", ...rows].join("\n"));
}
