import { describe, expect, test } from "vitest";
import { runtimeFaults, stateFaults } from "./module_state.ts";
import { publishedSources } from "./source_tree.ts";

const core = [...publishedSources()].filter(([path]) => path.startsWith("src/") || path === "mod.ts");

/** The msgpack writer's buffer, shared because making one per call is slow: nothing of a call is left for the next. */
const accepted = ["src/protocol/pack.ts: keeps a new Writer"];

describe("the core", () => {
  test("names no runtime", () => {
    expect(core.flatMap(([path, text]) => runtimeFaults(path, text))).toEqual([]);
  });

  test("keeps no state in a module and runs nothing when it is loaded, but for the one writer", () => {
    const faults = core.flatMap(([path, text]) => stateFaults(path, text));
    expect(faults.map((fault) => fault.replace(/:\d+/, ""))).toEqual(accepted);
  });
});

describe("the runtime check", () => {
  test.each([
    [`const home = process.env.HOME;`, "names process"],
    [`const b: Buffer = x;`, "names Buffer"],
    [`type T = NodeJS.Timeout;`, "names NodeJS"],
    [`if (typeof Deno === "undefined") run();`, "names Deno"],
    [`globalThis.Deno.exit();`, "names Deno"],
    [`globalThis["process"];`, "names process"],
    [`if ("Deno" in globalThis) run();`, "names Deno"],
    [`const ws = require("ws");`, "names require"],
    [`send({ process });`, "names process"],
  ])("refuses %s", (text, fault) => {
    expect(runtimeFaults("a.ts", text)).toEqual([`a.ts:1: ${fault}`]);
  });

  test.each([
    `options.process();`,
    `const row = { Buffer: 1 };`,
    `interface A { require(): void; process: string }`,
    `class A { process(): void {} }`,
    `// process.exit\nconst text = "Deno";`,
    `const { process: run } = options;`,
  ])("lets pass %s", (text) => {
    expect(runtimeFaults("a.ts", text)).toEqual([]);
  });
});

describe("the state check", () => {
  test.each([
    [`let count = 0;`, "count can be assigned again"],
    [`export var count = 0;`, "count can be assigned again"],
    [`const seen = new Set<string>();`, "keeps a new Set"],
    [`const frozen = Object.freeze({ memo: new Map() });`, "keeps a new Map"],
    [`const machine = setup({}).createMachine({ context: { all: new Set() } });`, "keeps a new Set"],
    [`const table: readonly number[] = build();`, "calls build when loaded"],
    [`const memo = new Map([["a", 1]]);`, "keeps a new Map"],
    [`const all = { memo: new WeakMap() };`, "keeps a new WeakMap"],
    [`const encoder = new Encoder();`, "keeps a new Encoder"],
    [`const scratch = new Uint8Array(9);`, "keeps a new Uint8Array"],
    [`export const list: string[] = [];`, "keeps an empty array"],
    [`const byName: Record<string, number> = {};`, "keeps an empty object"],
    [`const memo = createMemo();`, "calls createMemo when loaded"],
    [`const x = await open();`, "awaits when loaded"],
    [`start();`, "runs code when loaded"],
    [`if (x) start();`, "runs code when loaded"],
    [`export default {};`, "runs code when loaded"],
    [`class A { static count = 0; }`, "count can be assigned again"],
    [`class A { static readonly all = new Set(); }`, "keeps a new Set"],
    [`class A { static { start(); } }`, "runs code when loaded"],
    [`const o = { n: 0 }; function f() { o.n++; }`, "changes o"],
    [`const o = { n: 0 }; function f() { o.n = 1; }`, "changes o"],
    [`const a = [1]; const f = () => a.push(2);`, "changes a"],
    [`const o = { a: { b: 1 } }; function f(k) { delete o.a[k]; }`, "changes o"],
  ])("refuses %s", (text, fault) => {
    expect(stateFaults("a.ts", text)).toContain(`a.ts:1: ${fault}`);
  });

  test.each([
    `export const MAX = 128; export const NAME = \`a\${MAX}\`;`,
    `const text = new TextEncoder(); const pattern = /a/;`,
    `export const codes = { ok: 1000 } as const;`,
    `const none: readonly string[] = [];`,
    `const known: ReadonlySet<string> = new Set(["a"]);`,
    `const none: ReadonlyMap<string, number> = new Map();`,
    `const frozen = Object.freeze({ a: 1 });`,
    `const handlers = { hello(): void { const list = []; list.push(new Map()); } };`,
    `const machine = setup({ types: {} as A, actions: { a: assign({ x: 1 }), b: () => new Map() } }).createMachine({ states: { a: { on: { x: "a" } } } });`,
    `class A { readonly #map = new Map(); count = 0; static readonly MAX = 3; }`,
    `function f() { let n = 0; n++; const m = new Map(); m.set(n, n); }`,
    `const defaults = { a: 1 }; function f(o) { o.a = defaults.a; }`,
  ])("lets pass %s", (text) => {
    expect(stateFaults("a.ts", text)).toEqual([]);
  });
});
