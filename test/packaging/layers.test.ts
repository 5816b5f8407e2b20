import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { layerFaults } from "./layers.ts";
import { importCycles, publishedSources, root } from "./source_tree.ts";

const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { dependencies: Record<string, string> };
const installed = Object.keys(dependencies);

describe("the published sources", () => {
  const tree = publishedSources();

  test("import only from their own layer and from those below it", () => {
    expect(layerFaults(tree, installed)).toEqual([]);
  });

  test("have no ring of imports, types included", () => {
    expect(importCycles(tree)).toEqual([]);
  });

  test("were read: every folder of the layout is among them", () => {
    const folders = [
      "mod.ts",
      ...["protocol", "ports", "memory", "session", "delivery", "push", "gateway", "client"].map((name) => `src/${name}/`),
    ];
    expect(folders.filter((folder) => ![...tree.keys()].some((path) => path.startsWith(folder)))).toEqual([]);
  });
});

describe("the layer check", () => {
  const empty = [
    ...["protocol", "ports", "memory", "session", "delivery", "push", "gateway", "client"].map((name) => `src/${name}/a.ts`),
    ...["src/create_engine.ts", "adapters/one.ts", "adapters/two/a.ts", "adapters/gateway/a.ts"],
  ];

  function faultsOf(path: string, text: string): string[] {
    return layerFaults(new Map([...empty.map((file) => [file, ""] as const), [path, text]]), ["ws"]);
  }

  test.each([
    [
      "protocol on ports",
      "src/protocol/b.ts",
      `import { a } from "../ports/a.ts";`,
      "src/protocol/b.ts:1: protocol may not import ports",
    ],
    [
      "a type only",
      "src/ports/b.ts",
      `\nimport type { a } from "../session/a.ts";`,
      "src/ports/b.ts:2: ports may not import session",
    ],
    [
      "a type in place",
      "src/session/b.ts",
      `let x: import("../push/a.ts").A;`,
      "src/session/b.ts:1: session may not import push",
    ],
    [
      "export from",
      "src/delivery/b.ts",
      `export * from "../gateway/a.ts";`,
      "src/delivery/b.ts:1: delivery may not import gateway",
    ],
    ["import()", "src/push/b.ts", `await import("../memory/a.ts");`, "src/push/b.ts:1: push may not import memory"],
    ["a computed import", "src/push/b.ts", `await import(name);`, "src/push/b.ts:1: push may not import <computed>"],
    [
      "the client on the engine",
      "src/client/b.ts",
      `import "../create_engine.ts";`,
      "src/client/b.ts:1: client may not import engine",
    ],
    [
      "the core on an adapter",
      "src/gateway/b.ts",
      `import "../../adapters/one.ts";`,
      "src/gateway/b.ts:1: gateway may not import adapters/one",
    ],
    [
      "an adapter on the core",
      "adapters/one.ts",
      `import "../src/memory/a.ts";`,
      "adapters/one.ts:1: adapters/one may not import memory",
    ],
    [
      "an adapter on another",
      "adapters/one.ts",
      `import "./two/a.ts";`,
      "adapters/one.ts:1: adapters/one may not import adapters/two",
    ],
    ["node: in the core", "src/memory/b.ts", `import "node:fs";`, "src/memory/b.ts:1: memory may not import node:fs"],
    ["a vendor in the core", "src/gateway/b.ts", `import "ws";`, "src/gateway/b.ts:1: gateway may not import ws"],
    ["what npm does not install", "adapters/one.ts", `import "vitest";`, "adapters/one.ts:1: adapters/one may not import vitest"],
    [
      "a file that is not published",
      "adapters/one.ts",
      `import "../test/x.ts";`,
      "adapters/one.ts:1: ../test/x.ts is no published file",
    ],
    ["a file without a layer", "src/helpers.ts", ``, "src/helpers.ts: has no place in the table of layers"],
  ])("refuses %s", (_what, path, text, fault) => {
    expect(faultsOf(path, text)).toEqual([fault]);
  });

  test.each([
    ["src/delivery/b.ts", `import "../push/a.ts"; import type {} from "../ports/a.ts"; import "./a.ts";`],
    ["src/create_engine.ts", `import "./memory/a.ts"; import "./gateway/a.ts";`],
    ["src/session/b.ts", `import { setup } from "xstate";`],
    [
      "adapters/two.ts",
      `import "./two/a.ts"; import "./gateway/a.ts"; import "node:fs"; import "ws"; import "../src/ports/a.ts";`,
    ],
  ])("lets pass %s: %s", (path, text) => {
    expect(faultsOf(path, text)).toEqual([]);
  });

  test("finds rings of imports, also those of types alone", () => {
    const ring = new Map([
      ["src/a.ts", `import type { B } from "./b.ts";`],
      ["src/b.ts", `export type { C } from "./sub/c.ts";`],
      ["src/sub/c.ts", `let a: import("../a.ts").A;`],
    ]);
    expect(importCycles(ring)).toEqual(["src/a.ts → src/b.ts → src/sub/c.ts → src/a.ts"]);
    expect(importCycles(new Map([...ring, ["src/sub/c.ts", ""]]))).toEqual([]);
  });
});
