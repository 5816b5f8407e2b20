/**
 * Builds what npm publishes: `dist/` by plain tsc, and the client as one minified file for pages without a bundler.
 * Fails when that file outgrows its budget.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import process from "node:process";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

/** What the client may weigh in a page, gzipped bytes. */
const CLIENT_BUDGET = 18 * 1024;
const CLIENT = "dist/client.min.js";

rmSync("dist", { recursive: true, force: true });
const tsc = spawnSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "."], { stdio: "inherit" });
if (tsc.status !== 0) process.exit(1);

await build({
  entryPoints: ["src/client/client.ts"],
  outfile: CLIENT,
  bundle: true,
  minify: true,
  format: "esm",
  platform: "browser",
  target: "es2022",
  legalComments: "none",
  logLevel: "warning",
});
const bytes = readFileSync(CLIENT);
const gzipped = gzipSync(bytes, { level: 9 }).length;
console.log(`${CLIENT}: ${bytes.length} bytes, ${gzipped} gzipped (at most ${CLIENT_BUDGET})`);
if (gzipped > CLIENT_BUDGET) {
  console.error(`${CLIENT} is ${gzipped - CLIENT_BUDGET} bytes over its budget`);
  process.exitCode = 1;
}
