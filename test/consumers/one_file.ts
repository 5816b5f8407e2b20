import { readFileSync } from "node:fs";
import { join } from "node:path";
import { greeted } from "./greeted.ts";
import type { Project } from "./project.ts";

/** Puts a server into the project, `server.mjs`, that needs every entry of the package whole and keeps a sqlite file in `data`. */
export function oneFile(project: Project): void {
  project.take("one_file.mjs");
  const manifest = readFileSync(join(project.folder, "node_modules/peyk/package.json"), "utf8");
  const names = Object.keys((JSON.parse(manifest) as { exports: object }).exports).map((name) => name.replace(/^\./, "peyk"));
  const imports = names.map((name, at) => `import * as entry${at} from "${name}";\n`);
  const entries = names.map((_, at) => `entry${at}`).join(", ");
  project.write("server.mjs", `import { run } from "./one_file.mjs";\n${imports.join("")}run([${entries}]);\n`);
}

/** @throws {Error} with all that it printed, when the message did not arrive, or the file had nothing when it was opened again */
export function stored(printed: string): void {
  greeted(printed);
  if (!printed.includes("stored: disk, and 1 device when opened again")) throw new Error(printed);
}
