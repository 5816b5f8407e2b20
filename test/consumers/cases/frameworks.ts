import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { certificate, key } from "../../tls/certificate.ts";
import { type Tab, visit } from "../browser.ts";
import type { Consumer } from "../consumer.ts";
import { greeted } from "../greeted.ts";
import type { Project } from "../project.ts";

const SERVERS = ["node:http", "node:https", "node:http2", "hono", "express", "fastify", "koa"];

/** Servers and pages as frameworks make them. */
export const consumers: Consumer[] = [
  {
    name: "servers",
    shows: `serveNode on what ${SERVERS.join(", ")} give, compiled without a cast by the oldest TypeScript and the newest`,
    packages: [
      "@hono/node-server@2.1.9",
      "hono@4.13.19",
      "express@5.3.0",
      "fastify@5.12.8",
      "koa@3.1.1",
      "@types/express@5.0.6",
      "@types/koa@3.0.3",
      "@types/node@24.19.2",
      "oldest@npm:typescript@5.6.3",
      "newest@npm:typescript@7.0.2",
    ],
    async run(project) {
      project.take("servers/servers.mjs", "servers.mjs");
      project.write("certificate.pem", certificate);
      project.write("key.pem", key);
      const options = "--noEmit --allowJs --checkJs --strict --skipLibCheck --module nodenext --target es2022 --types node";
      for (const name of ["oldest", "newest"]) {
        await project.run(project.node, `node_modules/${name}/bin/tsc`, ...options.split(" "), "servers.mjs");
      }
      const printed = await project.run("env", "NODE_EXTRA_CA_CERTS=certificate.pem", project.node, "servers.mjs");
      for (const name of SERVERS) if (!printed.includes(`${name}: sara got: Hello world`)) throw new Error(printed);
      greeted(printed);
      return `${SERVERS.length} servers`;
    },
  },
  {
    name: "page",
    shows: "peyk/dist/client.min.js, found by import.meta.resolve and require.resolve, in a page in chromium",
    async run(project) {
      project.take("page", ".");
      await visit(project, (tab) => tab.shows(["Hello world", "as ever"]), project.node, "server.mjs");
      return "chromium";
    },
  },
  {
    name: "nest",
    shows: "a Nest app with a gateway of its own under WsAdapter on the same server, served before and after it",
    packages: [
      "@nestjs/common@12.5.1",
      "@nestjs/core@12.5.1",
      "@nestjs/platform-express@12.5.1",
      "@nestjs/platform-ws@12.1.1",
      "@nestjs/websockets@12.1.1",
      "reflect-metadata@0.2.2",
      "rxjs@7.8.2",
    ],
    async run(project) {
      project.take("nest.mjs");
      for (const order of ["before", "after"]) {
        const printed = await project.run(project.node, "nest.mjs", order);
        greeted(printed);
        if (!printed.includes(`Nest answered: {"event":"echo","data":"Hello Nest"}`)) throw new Error(printed);
      }
      return "Nest 12.5.1";
    },
  },
  {
    name: "next",
    shows: "a server of one's own with Next: built, and in development with its hot reload, in chromium",
    packages: ["next@16.4.6", "react@19.3.1", "react-dom@19.3.1"],
    async run(project) {
      project.take("next", ".");
      const environment = ["NEXT_TELEMETRY_DISABLED=1"];
      await project.run("env", ...environment, "next", "build");
      for (const word of ["itself", "handler"]) {
        const production = [...environment, "NODE_ENV=production", project.node, "server.mjs", word];
        await visit(project, (tab) => tab.shows(["Hello world"]), "env", ...production);
        await visit(project, (tab) => reloads(project, tab), "env", ...environment, project.node, "server.mjs", word, "dev");
      }
      return "Next 16.4.6";
    },
  },
];

/** Next's own socket works beside ours: the page changes while it is open, and keeps what it has. */
async function reloads(project: Project, tab: Tab): Promise<void> {
  await tab.shows(["Hello world"]);
  const file = join(project.folder, "app/page.jsx");
  const text = readFileSync(file, "utf8");
  try {
    writeFileSync(file, text.replace("<ul>", `<ul title="changed">`));
    await tab.page.waitForSelector("ul[title=changed]");
    await tab.shows(["Hello world"]);
    await tab.untilOpen("/peyk", 1);
    await tab.untilOpen("/_next/", 1);
  } finally {
    writeFileSync(file, text);
  }
}
