import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Consumer } from "../consumer.ts";
import type { Project } from "../project.ts";

/** What is asked of TypeScript in every program here. Libraries are checked too, as `tsc` does by default. */
const strict = {
  noEmit: true,
  target: "es2022",
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: false,
};

/** How imports are found. */
const resolutions = {
  bundler: { module: "esnext", moduleResolution: "bundler" },
  nodenext: { module: "nodenext" },
  /** From 5.9 on. */
  node20: { module: "node20" },
};

/** All entries in a server that knows Node's types, without `esnext.disposable` and browsers' types. */
const server = { lib: ["es2022"], types: ["node"], files: ["all.ts", "embed.ts"] };

/** Where other things are known. */
const elsewhere = [
  { lib: ["es2022", "dom"], types: [], files: ["page.ts"] },
  { lib: ["es2022", "webworker"], types: [], files: ["worker.ts"] },
  { lib: ["es2022", "esnext.disposable"], types: ["node"], files: ["using.ts"] },
];

function typescript(version: string, names: (keyof typeof resolutions)[], short?: true): Consumer {
  return {
    name: `typescript-${version.split(".", 2).join(".")}`,
    shows: "the types of all entries, strictly, in servers, pages and workers",
    packages: [`typescript@${version}`, "@types/node@24.19.2", "@types/ws@8.18.2"],
    ...short && { short },
    async run(project) {
      project.take("types", ".");
      project.takeFile("examples/embed_node.ts", "embed.ts");
      project.write("all.ts", importsOfAll(project));
      const programs = [
        ...names.map((name) => ({ ...server, ...resolutions[name] })),
        ...elsewhere.map((program) => ({ ...program, ...resolutions.bundler })),
      ];
      for (const { files, ...options } of programs) {
        project.write("tsconfig.json", JSON.stringify({ compilerOptions: { ...strict, ...options }, files }));
        await project.run("tsc");
      }
      return `${version}: ${names.join(", ")}`;
    },
  };
}

function importsOfAll(project: Project): string {
  const manifest = readFileSync(join(project.folder, "node_modules/peyk/package.json"), "utf8");
  const { exports } = JSON.parse(manifest) as { exports: Record<string, object> };
  const names = Object.keys(exports).map((name) => name.replace(/^\./, "peyk"));
  return names.map((name, index) => `export * as entry${index} from "${name}";\n`).join("");
}

export const consumers: Consumer[] = [
  // The oldest that README promises.
  typescript("5.6.3", ["bundler", "nodenext"], true),
  typescript("5.7.3", ["bundler", "nodenext"]),
  typescript("5.8.3", ["bundler", "nodenext"]),
  typescript("5.9.3", ["bundler", "nodenext", "node20"]),
  typescript("6.0.3", ["bundler", "nodenext", "node20"]),
  typescript("7.0.2", ["bundler", "nodenext", "node20"], true),
];
