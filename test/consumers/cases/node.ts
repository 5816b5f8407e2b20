import type { Consumer } from "../consumer.ts";
import { greeted } from "../greeted.ts";

/** Node as it is, without a bundler. */
export const consumers: Consumer[] = [
  {
    name: "commonjs",
    shows: "require() of every entry, and a server on sqlite",
    short: true,
    async run(project) {
      project.take("server.cjs");
      greeted(await project.run(project.node, "server.cjs"));
      return (await project.run(project.node, "--version")).trim();
    },
  },
];
