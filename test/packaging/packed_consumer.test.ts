import { execFile } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { importsOf, parse, root, target } from "./source_tree.ts";

const exec = promisify(execFile);

/** The longest a command may take, milliseconds; the test around it waits a little longer. */
const LONGEST = 110_000;
const WAIT = 120_000;

/** Runs a command and gives all it printed; one that fails rejects with all of it. */
async function run(cwd: string, command: string, ...args: string[]): Promise<string> {
  try {
    const { stdout, stderr } = await exec(command, args, { cwd, timeout: LONGEST });
    return stdout + stderr;
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`${command} ${args.join(" ")}\n${stdout}${stderr}`, { cause: error });
  }
}

const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  exports: Record<string, { default: string }>;
};
const subpaths = Object.keys(exports).map((name) => name.replace(/^\./, "peyk"));

const folder = realpathSync(mkdtempSync(join(tmpdir(), "peyk-packed-")));
const consumer = join(folder, "consumer");
const installed = join(consumer, "node_modules/peyk");

/** Packs a copy of the tree, so that nobody who works with `dist` is disturbed, and installs it alone in an empty project. */
beforeAll(async () => {
  const copy = join(folder, "copy");
  const parts = [
    "package.json",
    "tsconfig.json",
    "mod.ts",
    "src",
    "adapters",
    ".ci/build.ts",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
  ];
  for (const part of parts) cpSync(join(root, part), join(copy, part), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
  await run(copy, process.execPath, ".ci/build.ts");
  await run(copy, "npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", folder);

  const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz")) ?? "no tarball";
  mkdirSync(consumer);
  writeFileSync(join(consumer, "package.json"), JSON.stringify({ name: "consumer", private: true, type: "module" }));
  await run(consumer, "npm", "install", "--prefer-offline", "--no-audit", "--no-fund", join(folder, tarball));
}, 3 * WAIT);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The packages and node: modules that importing `entry` loads, found by following the imports of the built files. */
function loads(entry: string): string[] {
  const packages = new Set<string>();
  const seen = new Set<string>();
  const visit = (path: string): void => {
    if (seen.has(path)) return;
    seen.add(path);
    for (const { specifier } of importsOf(parse(path, readFileSync(join(installed, path), "utf8")))) {
      const next = target(path, specifier);
      if (next === undefined) packages.add(specifier);
      else visit(next);
    }
  };
  visit(relative(".", entry));
  return [...packages].sort();
}

/** What a bundler makes of a program that imports what is installed. */
async function bundle(platform: "browser" | "node", contents: string, loader: "js" | "ts" = "js"): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: consumer, loader },
    bundle: true,
    minify: true,
    format: "esm",
    platform,
    write: false,
  });
  return outputFiles[0]?.text ?? "no output";
}

/** The sample's message arrived, and the engine had no trouble to log. */
function expectGreeting(told: string): void {
  expect(told).toContain("sara got: Hello world");
  expect(told).not.toContain("peyk:");
}

describe("the packed package, alone in an empty project", () => {
  test("holds the built files and the sources they come from, and nothing else", () => {
    expect(readdirSync(installed).sort()).toEqual(
      ["CHANGELOG.md", "LICENSE", "README.md", "adapters", "dist", "mod.ts", "package.json", "src"],
    );
    expect(readdirSync(join(installed, "dist")).sort()).toEqual(["adapters", "client.min.js", "mod.d.ts", "mod.js", "src"]);
    expect(readdirSync(join(installed, "src/protocol"))).toEqual(
      expect.arrayContaining(["PROTOCOL.md", "traces.json", "vectors.json"]),
    );
  });

  test("runs the embedding sample on Node", async () => {
    cpSync(join(root, "examples/embed_node.ts"), join(consumer, "embed.ts"));
    expectGreeting(await run(consumer, process.execPath, "embed.ts"));
  }, WAIT);

  test("gives types to a strict project that checks its libraries too", async () => {
    const imports = subpaths.map((name, index) => `import * as m${index} from "${name}";\nexport { m${index} };\n`);
    writeFileSync(join(consumer, "all.ts"), imports.join(""));
    cpSync(join(root, "examples/embed_node.ts"), join(consumer, "embed.ts"));
    const options = ["--noEmit", "--strict", "--exactOptionalPropertyTypes", "--module", "nodenext", "--target", "es2024"];
    const types = ["--typeRoots", join(root, "node_modules/@types"), "--types", "node"];
    await run(
      consumer,
      process.execPath,
      join(root, "node_modules/typescript/bin/tsc"),
      ...options,
      ...types,
      "all.ts",
      "embed.ts",
    );
  }, WAIT);

  test("loads under every name it exports", async () => {
    const script = subpaths.map((name) => `await import("${name}");`).join("");
    await run(consumer, process.execPath, "--input-type=module", "--eval", script);
  }, WAIT);

  test("makes a pair of keys by its command", async () => {
    expect(await run(consumer, "npx", "--no-install", "peyk", "vapid")).toMatch(
      /^VAPID_PUBLIC_KEY=[\w-]{87}\nVAPID_PRIVATE_KEY=/m,
    );
  }, WAIT);

  test("pulls in no adapter's dependency with `peyk`, and nothing with the client", () => {
    expect(loads(exports["."]?.default ?? "")).toEqual(["xstate"]);
    expect(loads(exports["./client"]?.default ?? "")).toEqual([]);
    expect(loads("dist/client.min.js")).toEqual([]);
    // The same look finds what the adapters do load.
    expect(loads(exports["./node"]?.default ?? "")).toContain("ws");
    expect(loads(exports["./sqlite"]?.default ?? "")).toContain("node:sqlite");
  });

  test.each(subpaths)("leaves nothing of `%s` in a bundle that imports it and does not use it", async (name) => {
    const platform = name === "peyk/client" ? "browser" : "node";
    const unused = await bundle(platform, `import * as unused from "${name}";`);
    expect(unused.length).toBe(0);
    // The same look finds what is used.
    const used = await bundle(platform, `import * as used from "${name}"; console.log(used);`);
    expect(used.length).toBeGreaterThan(500);
  });

  test("leaves nothing but the error's class in a bundle that uses nothing else of the client", async () => {
    const text = await bundle("browser", `import { PeykError } from "peyk/client"; console.log(PeykError);`);
    expect(text).toContain("retryAfterMs");
    expect(text.length).toBeLessThan(500);
  });
});

describe("one file that esbuild made, alone in an empty folder", () => {
  const alone = join(folder, "alone");
  const server = join(alone, "server.mjs");

  beforeAll(async () => {
    mkdirSync(alone);
    // ws calls `require` for what Node has; an ES module has none by itself.
    const require = 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);\n';
    writeFileSync(server, require + await bundle("node", readFileSync(join(root, "examples/embed_node.ts"), "utf8"), "ts"));
  });

  test("runs the embedding sample on Node", async () => {
    expectGreeting(await run(alone, process.execPath, server));
  }, WAIT);

  const files = ["--permission", `--allow-fs-read=${tmpdir()}`, `--allow-fs-write=${tmpdir()}`];

  test("runs where Node makes no code of strings and asks for each right", async () => {
    const flags = ["--disallow-code-generation-from-strings", ...files, "--allow-worker"];
    expectGreeting(await run(alone, process.execPath, ...flags, server));
  }, WAIT);

  test("says what is missing where Node may start no thread", async () => {
    await expect(run(alone, process.execPath, ...files, server)).rejects.toThrow(
      /the thread that writes the sqlite file could not be started[^]*code: 'unsupported'[^]*--allow-worker/,
    );
  }, WAIT);
});

describe("the source", () => {
  test("runs the same sample on Deno", async () => {
    expectGreeting(await run(root, "deno", "run", "-A", "--conditions=peyk-source", "examples/embed_node.ts"));
  }, WAIT);

  test("runs the sample for Deno.serve", async () => {
    expectGreeting(await run(root, "deno", "run", "-A", "examples/embed_deno.ts"));
  }, WAIT);
});
