import { copyFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { Consumer } from "./consumer.ts";
import { oneFile, stored } from "./one_file.ts";
import { Project } from "./project.ts";

/** How a tool makes one file of a server. */
export interface Bundling {
  readonly name: string;
  readonly shows: string;
  readonly packages?: readonly string[];
  readonly short?: true;
  build(project: Project): Promise<unknown>;
  /** The one file that it makes, in the project. */
  readonly output: string;
  /** What runs it. Node if absent. */
  readonly runtime?: "bun" | "deno" | "itself";
  /** What the table says of it, if not the packages. */
  says?(project: Project): Promise<string>;
}

/** The file is run in a folder that has nothing else in it, so that neither a package nor a source is found by chance. */
export function bundled({ name, shows, packages = [], short, build, output, runtime, says }: Bundling): Consumer {
  return {
    name,
    shows,
    packages,
    ...short === undefined ? {} : { short },
    async run(project) {
      oneFile(project);
      await build(project);
      const alone = new Project(`${project.folder}-alone`);
      const file = basename(output);
      copyFileSync(join(project.folder, output), join(alone.folder, file));
      stored(await alone.run(...running(project, file, runtime)));
      return says === undefined ? packages.map((each) => each.replace(/(?<=.)@/, " ")).join(", ") : says(project);
    },
  };
}

function running(project: Project, file: string, runtime: Bundling["runtime"]): [string, ...string[]] {
  if (runtime === "itself") return [`./${file}`];
  if (runtime === "deno") return ["deno", "run", "-A", file];
  return [runtime === "bun" ? join(project.folder, "node_modules/.bin/bun") : project.node, file];
}
