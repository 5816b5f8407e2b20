/**
 * Builds what npm publishes: `dist/` by plain tsc, and the client as one minified file for pages without a bundler.
 * Fails when the client outgrows one of its budgets.
 */
import { spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { gzipSync } from "node:zlib";
import { build, type Plugin } from "esbuild";

const CLIENT = "dist/client.min.js";
/** What the client may weigh in a page, gzipped bytes. */
const WHOLE_BUDGET = 18 * 1024;
/** The same without the loop behind `messages()`. */
const WITHOUT_LOOP_BUDGET = 17 * 1024;

const withoutLoop: Plugin = {
  name: "without the message loop",
  setup(bundle) {
    bundle.onLoad({ filter: /message_loop\.ts$/ }, () => ({ contents: "export function readMessages() {}" }));
  },
};

async function bundleClient(...plugins: Plugin[]): Promise<Uint8Array> {
  const { outputFiles } = await build({
    entryPoints: ["src/client/client.ts"],
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    legalComments: "none",
    logLevel: "warning",
    write: false,
    plugins,
  });
  return outputFiles[0]!.contents;
}

function hold(what: string, bytes: Uint8Array, budget: number): void {
  const gzipped = gzipSync(bytes, { level: 9 }).length;
  console.log(`${what}: ${bytes.length} bytes, ${gzipped} gzipped (at most ${budget})`);
  if (gzipped <= budget) return;
  console.error(`${what} is ${gzipped - budget} bytes over its budget`);
  process.exitCode = 1;
}

rmSync("dist", { recursive: true, force: true });
const tsc = spawnSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "."], { stdio: "inherit" });
if (tsc.status !== 0) process.exit(1);

const client = await bundleClient();
writeFileSync(CLIENT, client);
hold(CLIENT, client, WHOLE_BUDGET);
const smaller = await bundleClient(withoutLoop);
if (smaller.length >= client.length) throw new Error("the message loop was not left out");
hold(`${CLIENT} without the message loop`, smaller, WITHOUT_LOOP_BUDGET);
