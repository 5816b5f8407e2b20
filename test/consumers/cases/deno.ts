import { readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join, relative, resolve } from "node:path";
import { bundled } from "../bundled.ts";
import type { Consumer } from "../consumer.ts";
import { oneFile, stored } from "../one_file.ts";
import type { Project } from "../project.ts";

const repository = resolve(import.meta.dirname!, "../../..");

/** What a server on a sqlite file in `data` needs. docs/storage.md names the same. */
const RIGHTS = [
  "--no-prompt",
  "--allow-net=127.0.0.1",
  "--allow-read=data",
  "--allow-write=data",
  "--allow-env=WS_NO_BUFFER_UTIL,WS_NO_UTF_8_VALIDATE",
];

/** Runs the sample with all rights, then with those it needs. */
async function run(project: Project, ...more: string[]): Promise<string> {
  // A cache of its own: what was loaded before is not known.
  const deno = ["env", "DENO_DIR=cache", "deno"] as const;
  for (const rights of [["-A"], [...RIGHTS, ...more]]) {
    stored(await project.run(...deno, "run", "--quiet", ...rights, "server.mjs"));
    rmSync(join(project.folder, "data"), { recursive: true });
  }
  return version(project);
}

async function version(project: Project): Promise<string> {
  return (await project.run("deno", "--version")).split(" (")[0]!;
}

/** Serves on loopback what JSR would: the files that deno.json publishes. */
async function serveSources(publish: { include: string[]; exclude: string[] }): Promise<Server> {
  const server = createServer(({ url = "" }, response) => {
    const path = relative("/", url);
    const isIn = (names: string[]) => names.some((name) => path === name || path.startsWith(`${name}/`));
    if (!isIn(publish.include) || isIn(publish.exclude)) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": "text/typescript" }).end(readFileSync(join(repository, path)));
  });
  server.listen(0, "127.0.0.1");
  await new Promise((listening) => server.once("listening", listening));
  return server;
}

export const consumers: Consumer[] = [
  {
    name: "deno npm",
    shows: "Deno with the package in node_modules, with all rights and with those it needs",
    run(project) {
      oneFile(project);
      return run(project);
    },
  },
  {
    name: "deno remote",
    shows: "Deno with the sources over http, as from JSR, with all rights and with those it needs",
    short: true,
    async run(project) {
      oneFile(project);
      const manifest = JSON.parse(readFileSync(join(repository, "deno.json"), "utf8"));
      const { dependencies } = JSON.parse(readFileSync(join(repository, "package.json"), "utf8")) as { dependencies: object };
      const server = await serveSources(manifest.publish);
      try {
        const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
        const entries = Object.entries(manifest.exports as Record<string, string>).map(([name, path]) =>
          [name.replace(/^\./, "peyk"), new URL(path, `http://${host}`).href] as const
        );
        const packages = Object.entries(dependencies).map(([name, version]) => [name, `npm:${name}@${version}`] as const);
        project.write("deno.json", JSON.stringify({ imports: Object.fromEntries([...entries, ...packages]) }));
        return await run(project, `--allow-import=${host}`);
      } finally {
        server.close();
      }
    },
  },
  bundled({
    name: "deno bundle",
    shows: "one ES module, run on Deno",
    build: (project) => project.run("deno", "bundle", "--quiet", "server.mjs", "-o", "out/server.mjs"),
    output: "out/server.mjs",
    runtime: "deno",
    says: version,
  }),
];
