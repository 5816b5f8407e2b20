/**
 * Runs the embedding sample and the storage's conformance cases with the packed package on the oldest Node that `engines` promises.
 * That Node comes as a package of its own into a temporary project, so nothing here depends on what is installed.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

const { version, engines } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string; engines: { node: string } };
const oldest = `${engines.node.replace(">=", "")}.0`;
const runtime = `node-${process.platform}-${process.arch}`;

function run(cwd: string, command: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: "utf8", timeout: 300_000 });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}\n${stdout}${stderr}`, { cause: error });
  return stdout + stderr;
}

const folder = mkdtempSync(join(tmpdir(), "peyk-oldest-"));
try {
  run(".", "npm", "pack", "--silent", "--pack-destination", folder);
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
  run(folder, "npm", "install", "--prefer-offline", "--no-audit", "--no-fund", `./peyk-${version}.tgz`, `${runtime}@${oldest}`);
  cpSync("examples/embed_node.ts", join(folder, "embed.ts"));
  cpSync(".ci/storage_cases.ts", join(folder, "storage_cases.ts"));

  const node = join(folder, "node_modules", runtime, "bin/node");
  const flags = ["--experimental-strip-types", "--disable-warning=ExperimentalWarning"];
  const told = run(folder, node, ...flags, "embed.ts");
  console.log(`Node ${oldest}:\n${told}`);
  // What the engine logs is trouble: by default it tells of nothing else.
  if (!told.includes("sara got: Hello world") || told.includes("peyk:")) process.exitCode = 1;
  console.log(run(folder, node, ...flags, "storage_cases.ts"));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
