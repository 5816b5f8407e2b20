// Peyk in a server of CommonJS modules: Node requires ES modules as they are.
const { once } = require("node:events");
const { mkdtempSync, readFileSync, rmSync } = require("node:fs");
const { createServer } = require("node:http");
const { join } = require("node:path");
const { createEngine } = require("peyk");
const { connect } = require("peyk/client");
const { serveNode } = require("peyk/node");
const { sqlite } = require("peyk/sqlite");

const { exports: entries } = JSON.parse(readFileSync(join(__dirname, "node_modules/peyk/package.json"), "utf8"));
for (const entry of Object.keys(entries)) require(entry.replace(/^\./, "peyk"));

async function main() {
  const folder = mkdtempSync(join(__dirname, "data-"));
  const engine = await createEngine({
    authenticate: ({ token }) => token === "sara-signs-in" ? { userId: "sara" } : null,
    storage: sqlite(join(folder, "peyk.db")),
  });
  const server = createServer();
  serveNode(engine, server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const sara = connect(`ws://127.0.0.1:${server.address().port}/peyk`, { token: () => "sara-signs-in" });
  const arrived = new Promise((resolve) => sara.onMessage(({ content }) => resolve(console.log(`sara got: ${content}`))));
  await engine.publish({ to: "sara", content: "Hello world" });
  await arrived;
  await sara.close();
  await engine.close();
  server.close();
  rmSync(folder, { recursive: true });
}

void main();
