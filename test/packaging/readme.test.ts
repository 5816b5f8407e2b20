import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import ts from "typescript";
import { describe, expect, test } from "vitest";
import { pushProviderCases } from "../../adapters/conformance/conformance.ts";
import { links, Page, typeFaults } from "./markdown.ts";
import { parse, root } from "./source_tree.ts";

const exec = promisify(execFile);
/** The longest a command or the type checker may take, milliseconds. */
const WAIT = 120_000;

const readme = new Page("README.md");

/** The names of a file's tests. What is filled in at run time reads as `…`. */
function testNames(path: string): string[] {
  const names: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && isTest(node.expression)) {
      const [name] = node.arguments;
      if (name !== undefined && ts.isStringLiteralLike(name)) names.push(name.text);
      if (name !== undefined && ts.isTemplateExpression(name)) {
        names.push(name.head.text + name.templateSpans.map(({ literal }) => `…${literal.text}`).join(""));
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(parse(path, readFileSync(join(root, path), "utf8")));
  return names;
}

/** `test`, and what `test.each(…)` gives; not what is skipped. */
function isTest(callee: ts.Expression): boolean {
  if (ts.isIdentifier(callee)) return callee.text === "test";
  return ts.isCallExpression(callee) && ts.isPropertyAccessExpression(callee.expression) &&
    callee.expression.name.text === "each" && isTest(callee.expression.expression);
}

/** The modules by their path; one that another imports is found by what it exports. */
function moduleFiles(folder: string): Map<string, string> {
  return new Map(
    readme.modules().map((code, index) => {
      const name = code.includes("export function plainPost") ? "plain_post" : `readme_${index}`;
      return [join(folder, `${name}.ts`), code];
    }),
  );
}

describe("the README", () => {
  test("shows the machine as it is printed", async () => {
    const args = ["--conditions=peyk-source", join(root, "examples/print_machine.ts")];
    const { stdout } = await exec(process.execPath, args, { cwd: root, timeout: WAIT });
    expect(readme.blocks("mermaid")).toEqual([stdout.trimEnd()]);
  }, WAIT);

  test("links to nothing that is not there", () => {
    expect(links(readme.text).length).toBeGreaterThan(50);
    expect(readme.linkFaults()).toEqual([]);
  });

  test("names for each of the twelve rules a test of the linked file", () => {
    const rows = readme.section("The rules it keeps").split("\n").filter((line) => /^\| *\d/.test(line));
    expect(rows.map((row) => Number(row.split("|")[1]))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    const named = rows.map((row) => links(row));
    expect(named.filter((tests) => tests.length === 0)).toEqual([]);
    expect(named.flat().filter(({ text, target }) => !testNames(target).includes(text))).toEqual([]);
  });

  test("holds only code that type-checks against the sources", () => {
    const files = moduleFiles(root);
    expect(files.size).toBeGreaterThanOrEqual(8);
    expect(typeFaults(files)).toEqual([]);
  }, WAIT);

  test("shows a push provider that passes the conformance cases as they are run there", async () => {
    const folder = mkdtempSync(join(tmpdir(), "peyk-readme-"));
    try {
      mkdirSync(join(folder, "node_modules"));
      symlinkSync(root, join(folder, "node_modules/peyk"));
      writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
      const files = moduleFiles(folder);
      for (const [path, code] of files) writeFileSync(path, code);
      const [cases] = [...files].find(([, code]) => code.includes("runPushCase(one, start)")) ?? [];
      const args = ["--conditions=peyk-source", "--test-reporter=tap", cases ?? "no block runs the cases"];
      const { stdout } = await exec(process.execPath, args, { cwd: folder, timeout: WAIT });
      expect(stdout).toContain(`\n# pass ${pushProviderCases().length}\n`);
      expect(stdout).toContain("\n# fail 0\n");
    } finally {
      rmSync(folder, { recursive: true });
    }
  }, WAIT);
});
