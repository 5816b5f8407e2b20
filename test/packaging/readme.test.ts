import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import ts from "typescript";
import { describe, expect, test } from "vitest";
import { pushProviderCases } from "../../adapters/conformance/conformance.ts";
import { parse, root } from "./source_tree.ts";

const exec = promisify(execFile);
/** The longest a command or the type checker may take, milliseconds. */
const WAIT = 120_000;

const readme = readFileSync(join(root, "README.md"), "utf8");

/** The fenced blocks of a language, without what they are indented by. */
function blocks(language: string): string[] {
  return [...readme.matchAll(/^( *)```(\w+)\n([^]*?)\n\1```$/gm)]
    .filter(([, , name]) => name === language)
    .map(([, indent, , code]) => code!.split("\n").map((line) => line.slice(indent!.length)).join("\n"));
}

/** The text from a heading to the next one of its level. */
function section(heading: string): string {
  const [, text] = readme.split(`\n## ${heading}\n`);
  return text?.split("\n## ")[0] ?? "";
}

/** Links and images, without those in code. */
function links(markdown: string): { text: string; target: string }[] {
  const prose = markdown.replace(/^( *)```[^]*?^\1```$/gm, "");
  return [...prose.matchAll(/\[([^[\]]*)\]\(([^)\s]+)\)/g)].map(([, text, target]) => ({
    text: text!,
    target: target!,
  }));
}

/** What a heading of Markdown is linked by, as GitHub makes it. */
function anchors(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.+)$/gm)].map(([, title]) =>
    title!.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").replaceAll(" ", "-")
  );
}

/** What is wrong with a link inside the repository, or undefined. */
function linkFault(target: string): string | undefined {
  const [path, anchor] = target.split("#") as [string, string?];
  const file = path === "" ? "README.md" : path;
  if (!existsSync(join(root, file))) return `${target}: no such file`;
  if (anchor === undefined) return undefined;
  if (statSync(join(root, file)).isDirectory()) return `${target}: a folder has no headings`;
  const text = file === "README.md" ? readme : readFileSync(join(root, file), "utf8");
  return anchors(text).includes(anchor) ? undefined : `${target}: no such heading`;
}

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

/** Blocks as modules: one that does not begin with an import goes on where the one before it ended. */
function modules(): string[] {
  const all: string[] = [];
  for (const code of blocks("ts")) {
    if (code.startsWith("import ") || all.length === 0) all.push(code);
    else all.push(`${all.pop()}\n${code}`);
  }
  return all;
}

/** The modules by their path; one that another imports is found by what it exports. */
function moduleFiles(folder: string): Map<string, string> {
  return new Map(
    modules().map((code, index) => {
      const name = code.includes("export function plainPost") ? "plain_post" : `readme_${index}`;
      return [join(folder, `${name}.ts`), code];
    }),
  );
}

/** What the type checker says about modules that lie in the root folder, though only here. */
function typeFaults(files: ReadonlyMap<string, string>): string[] {
  const config = join(root, "test/tsconfig.json");
  const { options } = ts.parseJsonConfigFileContent(
    ts.readConfigFile(config, ts.sys.readFile).config,
    ts.sys,
    join(root, "test"),
    {
      // A sample may show a result that it does not use.
      noUnusedLocals: false,
    },
    config,
  );
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists, readFile } = host;
  host.fileExists = (path) => files.has(path) || fileExists(path);
  host.readFile = (path) => files.get(path) ?? readFile(path);
  host.getSourceFile = (path, version, ...rest) => {
    const text = files.get(path);
    return text === undefined ? getSourceFile(path, version, ...rest) : ts.createSourceFile(path, text, version);
  };
  const program = ts.createProgram([...files.keys()], options, host);
  const faults = ts.getPreEmitDiagnostics(program);
  return faults.map((fault) =>
    `${fault.file?.fileName.slice(root.length + 1) ?? ""}: ${ts.flattenDiagnosticMessageText(fault.messageText, "\n")}`
  );
}

describe("the README", () => {
  test("shows the machine as it is printed", async () => {
    const args = ["--conditions=peyk-source", join(root, "examples/print_machine.ts")];
    const { stdout } = await exec(process.execPath, args, { cwd: root, timeout: WAIT });
    expect(blocks("mermaid")).toEqual([stdout.trimEnd()]);
  }, WAIT);

  test("links to nothing that is not there", () => {
    const inside = links(readme).map(({ target }) => target).filter((target) => !/^https?:/.test(target));
    expect(inside.length).toBeGreaterThan(50);
    expect(inside.flatMap((target) => linkFault(target) ?? [])).toEqual([]);
  });

  test("names for each of the twelve rules a test of the linked file", () => {
    const rows = section("The rules it keeps").split("\n").filter((line) => /^\| *\d/.test(line));
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
