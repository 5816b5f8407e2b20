import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import ts from "typescript";
import { root } from "./source_tree.ts";

/** A page of Markdown, by its path from the root. */
export class Page {
  readonly path: string;
  readonly text: string;

  constructor(path: string) {
    this.path = path;
    this.text = readFileSync(join(root, path), "utf8");
  }

  /** The fenced blocks of a language, without what they are indented by. */
  blocks(language: string): string[] {
    return [...this.text.matchAll(/^( *)```(\w+)\n([^]*?)\n\1```$/gm)]
      .filter(([, , name]) => name === language)
      .map(([, indent, , code]) => code!.split("\n").map((line) => line.slice(indent!.length)).join("\n"));
  }

  /** Blocks as modules: one that does not begin with an import goes on where the one before it ended. */
  modules(): string[] {
    const all: string[] = [];
    for (const code of this.blocks("ts")) {
      if (code.startsWith("import ") || all.length === 0) all.push(code);
      else all.push(`${all.pop()}\n${code}`);
    }
    return all;
  }

  /** The text from a heading to the next one of its level. */
  section(heading: string): string {
    const [, text] = this.text.split(`\n## ${heading}\n`);
    return text?.split("\n## ")[0] ?? "";
  }

  /** What links inside the repository lead to nothing, and why. */
  linkFaults(): string[] {
    const inside = links(this.text).map(({ target }) => target).filter((target) => !/^https?:/.test(target));
    return inside.flatMap((target) => this.#linkFault(target) ?? []);
  }

  #linkFault(target: string): string | undefined {
    const [to, anchor] = target.split("#") as [string, string?];
    const path = to === "" ? this.path : posix.join(dirname(this.path), to);
    if (!existsSync(join(root, path))) return `${this.path}: ${target}: no such file`;
    if (anchor === undefined) return undefined;
    if (statSync(join(root, path)).isDirectory()) return `${this.path}: ${target}: a folder has no headings`;
    return anchors(readFileSync(join(root, path), "utf8")).includes(anchor)
      ? undefined
      : `${this.path}: ${target}: no such heading`;
  }
}

/** Links and images, without those in code. */
export function links(markdown: string): { text: string; target: string }[] {
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

/** What the type checker says about modules that lie in the root folder, though only here. */
export function typeFaults(files: ReadonlyMap<string, string>): string[] {
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
