import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { bundled } from "../bundled.ts";
import type { Consumer } from "../consumer.ts";
import type { Project } from "../project.ts";

/** What esbuild needs in front of an ES module with packages that call `require`, as ws does. docs/storage.md names it. */
const REQUIRE = 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);';

function esbuild(project: Project, ...flags: string[]): Promise<string> {
  return project.run("esbuild", "server.mjs", "--bundle", "--platform=node", "--log-level=warning", ...flags);
}

function bun(project: Project, ...flags: string[]): Promise<string> {
  return project.run("bun", "build", "server.mjs", ...flags);
}

export const consumers: Consumer[] = [
  bundled({
    name: "esbuild",
    shows: "one ES module",
    packages: ["esbuild@0.28.2"],
    short: true,
    build: (project) => esbuild(project, "--format=esm", `--banner:js=${REQUIRE}`, "--outfile=out/server.mjs"),
    output: "out/server.mjs",
  }),
  bundled({
    name: "esbuild cjs",
    shows: "one CommonJS file, minified",
    packages: ["esbuild@0.28.2"],
    build: (project) => esbuild(project, "--format=cjs", "--minify", "--outfile=out/server.cjs"),
    output: "out/server.cjs",
  }),
  bundled({
    name: "node program",
    shows: "esbuild's CommonJS file inside of a copy of Node (a single executable application)",
    packages: ["esbuild@0.28.2", "postject@1.0.0-alpha.6"],
    async build(project) {
      await esbuild(project, "--format=cjs", "--outfile=bundle.cjs");
      project.write("sea.json", JSON.stringify({ main: "bundle.cjs", output: "sea.blob", disableExperimentalSEAWarning: true }));
      await project.run(project.node, "--experimental-sea-config", "sea.json");
      copyFileSync(project.node, join(project.folder, "server"));
      const fuse = "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2";
      await project.run("postject", "server", "NODE_SEA_BLOB", "sea.blob", "--sentinel-fuse", fuse);
    },
    output: "server",
    runtime: "itself",
  }),
  bundled({
    name: "webpack",
    shows: "one file, target node",
    packages: ["webpack@5.113.0", "webpack-cli@7.3.1"],
    build: (project) =>
      project.run(
        "webpack",
        ..."--mode production --target node --entry ./server.mjs -o out --output-filename server.cjs".split(" "),
      ),
    output: "out/server.cjs",
  }),
  bundled({
    name: "rollup",
    shows: "one ES module",
    packages: ["rollup@4.68.8", "@rollup/plugin-node-resolve@16.0.3", "@rollup/plugin-commonjs@29.0.3"],
    build: (project) => project.run("rollup", "server.mjs", ..."-p node-resolve -p commonjs -f es -o out/server.mjs".split(" ")),
    output: "out/server.mjs",
  }),
  bundled({
    name: "vite ssr",
    shows: "vite build --ssr with ssr.noExternal",
    packages: ["vite@8.3.8"],
    build(project) {
      project.write("vite.config.mjs", "export default { ssr: { noExternal: true } };\n");
      return project.run("vite", "build", "--ssr", "server.mjs", "--outDir", "out", "--logLevel", "warn");
    },
    output: "out/server.js",
  }),
  bundled({
    name: "bun for node",
    shows: "bun build --target=node, run on Node",
    packages: ["bun@1.4.5"],
    build: (project) => bun(project, "--target=node", "--outfile=out/server.mjs"),
    output: "out/server.mjs",
  }),
  bundled({
    name: "bun for bun",
    shows: "bun build --target=bun, run on Bun",
    packages: ["bun@1.4.5"],
    build: (project) => bun(project, "--target=bun", "--outfile=out/server.mjs"),
    output: "out/server.mjs",
    runtime: "bun",
  }),
  bundled({
    name: "bun program",
    shows: "bun build --compile",
    packages: ["bun@1.4.5"],
    build: (project) => bun(project, "--compile", "--outfile=out/server"),
    output: "out/server",
    runtime: "itself",
  }),
];
