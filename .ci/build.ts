/**
 * Builds what npm publishes: `dist/` by plain tsc, with the text of sqlite's writing thread in it, and the client as one minified file
 * for pages without a bundler. Fails when the client outgrows one of its budgets.
 */
import { spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { gzipSync } from "node:zlib";
import { build, type Plugin } from "esbuild";

const CLIENT = "dist/client.min.js";
const WORKER = "adapters/sqlite/worker";
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

/**
 * The module of sqlite's writing thread with all that it imports, as text that starts it: what the built `worker_module` holds. Its
 * names stay as they are, and its frames in a stack say where they come from.
 */
async function workerModule(): Promise<string> {
  const { outputFiles, metafile } = await build({
    entryPoints: [`${WORKER}.ts`],
    bundle: true,
    format: "esm",
    platform: "node",
    target: "es2024",
    legalComments: "none",
    logLevel: "warning",
    write: false,
    metafile: true,
  });
  const imports = Object.values(metafile.outputs).flatMap((output) => output.imports.map(({ path }) => path));
  // A `data:` module has no folder, so nothing but what the runtime itself has could be found from there.
  const lost = imports.filter((path) => !path.startsWith("node:"));
  if (lost.length > 0) throw new Error(`the text of ${WORKER}.ts imports ${lost.join(", ")}`);
  const text = `${outputFiles[0]!.text}//# sourceURL=peyk/${WORKER}.js\n`;
  return `const text = ${JSON.stringify(text)};
export function workerModule() {
    return new URL(\`data:text/javascript,\${encodeURIComponent(text)}\`);
}
`;
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
writeFileSync(`dist/${WORKER}_module.js`, await workerModule());

const client = await bundleClient();
writeFileSync(CLIENT, client);
hold(CLIENT, client, WHOLE_BUDGET);
const smaller = await bundleClient(withoutLoop);
if (smaller.length >= client.length) throw new Error("the message loop was not left out");
hold(`${CLIENT} without the message loop`, smaller, WITHOUT_LOOP_BUDGET);
