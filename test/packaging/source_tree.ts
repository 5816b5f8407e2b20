import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

/** The repository's root folder. */
export const root: string = join(dirname(fileURLToPath(import.meta.url)), "../..");

/** Sources by their path from the root, with `/`. */
export type SourceTree = ReadonlyMap<string, string>;

/** One import, export-from, `import()` or `import("…").Type` in a file. */
export interface Import {
  line: number;
  /** As written. `import()` of anything but a literal reads as `<computed>`. */
  specifier: string;
}

/** The TypeScript files that are published: `mod.ts`, `src` and `adapters`. */
export function publishedSources(): SourceTree {
  const nested = ["src", "adapters"].flatMap((folder) => {
    return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((path) => join(folder, path));
  });
  const paths = ["mod.ts", ...nested].map((path) => path.replaceAll("\\", "/")).filter((path) => path.endsWith(".ts"));
  return new Map(paths.sort().map((path) => [path, readFileSync(join(root, path), "utf8")]));
}

export function parse(path: string, text: string): ts.SourceFile {
  return ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
}

export function lineOf(node: ts.Node): number {
  const file = node.getSourceFile();
  return file.getLineAndCharacterOfPosition(node.getStart(file)).line + 1;
}

/** Everything the file imports, type imports included, in the order it is written. */
export function importsOf(file: ts.SourceFile): Import[] {
  const imports: Import[] = [];
  const add = (node: ts.Node, specifier: ts.Node | undefined): void => {
    const literal = specifier !== undefined && ts.isStringLiteralLike(specifier);
    imports.push({ line: lineOf(node), specifier: literal ? specifier.text : "<computed>" });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node, node.moduleSpecifier);
    else if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined) add(node, node.moduleSpecifier);
    else if (ts.isImportTypeNode(node)) add(node, ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined);
    else if (ts.isExternalModuleReference(node)) add(node, node.expression);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) add(node, node.arguments[0]);
    ts.forEachChild(node, visit);
  };
  visit(file);
  return imports;
}

/** The path a relative specifier means from `path`, or undefined when it names a package. */
export function target(path: string, specifier: string): string | undefined {
  return specifier.startsWith(".") ? posix.join(posix.dirname(path), specifier) : undefined;
}

/** Rings of files that import each other, types included; each as `a → b → a`. */
export function importCycles(tree: SourceTree): string[] {
  const edges = new Map([...tree].map(([path, text]) => {
    return [path, importsOf(parse(path, text)).flatMap(({ specifier }) => target(path, specifier) ?? [])];
  }));
  const cycles: string[] = [];
  const done = new Set<string>();
  const walk = (path: string, trail: string[]): void => {
    const start = trail.indexOf(path);
    if (start >= 0) {
      cycles.push([...trail.slice(start), path].join(" → "));
      return;
    }
    if (done.has(path)) return;
    for (const next of edges.get(path) ?? []) walk(next, [...trail, path]);
    done.add(path);
  };
  for (const path of edges.keys()) walk(path, []);
  return cycles;
}
