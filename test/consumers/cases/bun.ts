import { findPython } from "../../python/find_python.ts";
import type { Consumer } from "../consumer.ts";
import { greeted } from "../greeted.ts";
import type { Project } from "../project.ts";

const BUN = "bun@1.4.5";

/** Has an engine under one runtime greet clients under others, by what starts each of them. */
async function meet(project: Project, runtime: string, clients: Record<string, string[]>): Promise<void> {
  const names = Object.keys(clients);
  const engine = project.start(runtime, "engine.mjs", `${names.join("-")}.db`, ...names);
  try {
    const [, url] = await engine.until(/listening on (\S+)/);
    for (const [name, [command, ...args]] of Object.entries(clients)) {
      const printed = await project.run(command!, ...args, url!, name);
      if (!/ got: (Hello world, as ever|as ever, Hello world)\n/.test(printed)) throw new Error(`no greeting in:\n${printed}`);
    }
  } finally {
    await engine.stop();
  }
  if (await engine.ended !== 0 || engine.printed.includes("peyk:")) throw new Error(`the engine: ${engine.printed}`);
}

export const consumers: Consumer[] = [
  {
    name: "bun",
    shows: "the sample for Node under Bun; its clients of Bun, Node and Python; Bun's client of Node's engine",
    packages: [BUN],
    short: true,
    async run(project) {
      const python = findPython();
      project.takeFile("examples/embed_node.ts", "embed.ts");
      project.takeFile("examples/python/peyk.py", "peyk.py");
      project.take("runtimes", ".");
      greeted(await project.run("bun", "embed.ts"));
      await meet(project, "bun", {
        bun: ["bun", "client.mjs"],
        node: [project.node, "client.mjs"],
        ..."path" in python && { python: [python.path, "client.py"] },
      });
      await meet(project, project.node, { bun: ["bun", "client.mjs"] });
      const version = (await project.run("bun", "--version")).trim();
      return "path" in python ? version : `${version}; no Python: ${python.missing}`;
    },
  },
  {
    name: "bun-conformance",
    shows: "the conformance cases of gateways and of storages on sqlite, under Bun",
    packages: [BUN],
    async run(project) {
      project.take("runtimes/gateway_cases.ts", "gateway_cases.ts");
      project.takeFile(".ci/storage_cases.ts", "storage_cases.ts");
      const printed = [await project.run("bun", "gateway_cases.ts"), await project.run("bun", "storage_cases.ts")];
      return printed.map((text) => text.trim()).join("; ");
    },
  },
];
