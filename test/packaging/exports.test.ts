import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { root } from "./source_tree.ts";

interface Manifest {
  name: string;
  version: string;
  license: string;
}

function read<T>(file: string): Manifest & T {
  return JSON.parse(readFileSync(join(root, file), "utf8")) as Manifest & T;
}

const npm = read<{ exports: Record<string, Record<string, string>> }>("package.json");
const jsr = read<{ exports: Record<string, string> }>("deno.json");

/** The client as one file, by its path in the package: it is for pages, and has no source of its own. */
const CLIENT_FILE = "./dist/client.min.js";
const { [CLIENT_FILE]: clientFile, ...entries } = npm.exports;

test("both manifests export the same sources under the same names", () => {
  const sources = Object.entries(entries).map(([name, conditions]) => [name, conditions["peyk-source"]]);
  expect(Object.fromEntries(sources)).toEqual(jsr.exports);
});

test("both manifests name the same package, version and license", () => {
  expect([`@peyk/${npm.name}`, npm.version, npm.license]).toEqual([jsr.name, jsr.version, jsr.license]);
});

test("every exported source exists", () => {
  expect(Object.values(jsr.exports).filter((path) => !existsSync(join(root, path)))).toEqual([]);
});

test("what npm serves is the built form of the exported source, types first and default last", () => {
  for (const conditions of Object.values(entries)) {
    const built = (conditions["peyk-source"] ?? "").replace("./", "./dist/").replace(/\.ts$/, "");
    expect(Object.entries(conditions).slice(1)).toEqual([["types", `${built}.d.ts`], ["default", `${built}.js`]]);
    expect(Object.keys(conditions)[0]).toBe("peyk-source");
  }
});

test("npm serves the client as one file under its own path, with the client's types", () => {
  expect(clientFile).toEqual({ types: entries["./client"]!["types"], default: CLIENT_FILE });
});
