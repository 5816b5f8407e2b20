import { join } from "node:path";
import process from "node:process";
import type { Consumer } from "../consumer.ts";
import { greeted } from "../greeted.ts";
import type { Project } from "../project.ts";

/** The oldest Node that `engines` promises, as a package. */
const OLDEST = `node-${process.platform}-${process.arch}`;
const oldest = ({ folder }: Project): string => join(folder, "node_modules", OLDEST, "bin/node");

/** What compiles imports of ES modules to `require()`: TypeScript from 5.8 on with `nodenext`, from 5.9 on with `node20`. */
const typescripts = { "5.8.3": "nodenext", "6.0.3": "nodenext", "7.0.2": "node20" };

/** Node as it is, without a bundler. */
export const consumers: Consumer[] = [
  {
    name: "commonjs",
    shows: "require() of every entry, and a server on sqlite",
    packages: [`${OLDEST}@22.13.0`],
    short: true,
    async run(project) {
      project.take("server.cjs");
      const versions: string[] = [];
      for (const node of [project.node, oldest(project)]) {
        greeted(await project.run(node, "--disable-warning=ExperimentalWarning", "server.cjs"));
        versions.push((await project.run(node, "--version")).trim());
      }
      return versions.join(", ");
    },
  },
  {
    name: "typescript-commonjs",
    shows: "TypeScript that is compiled to CommonJS",
    packages: [
      `${OLDEST}@22.13.0`,
      "@types/node@24.19.2",
      ...Object.keys(typescripts).map((version) => `typescript-${version}@npm:typescript@${version}`),
    ],
    async run(project) {
      project.write("package.json", JSON.stringify({ private: true, type: "commonjs" }));
      project.take("server.ts");
      for (const [version, module] of Object.entries(typescripts)) {
        const options = ["--strict", "--skipLibCheck", "--module", module, "--target", "es2022", "--types", "node"];
        await project.run(project.node, `node_modules/typescript-${version}/bin/tsc`, ...options, "server.ts");
        greeted(await project.run(project.node, "server.js"));
        greeted(await project.run(oldest(project), "--disable-warning=ExperimentalWarning", "server.js"));
      }
      return Object.entries(typescripts).map(([version, module]) => `${version}: ${module}`).join("; ");
    },
  },
];
