// A whole server on one sqlite file and its client, in one process: what is bundled into one file and run where nothing else is.
// The module that is bundled is made for it: it imports every entry of the package and gives them to `run`.
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { createServer } from "node:http";
import process from "node:process";
import { createEngine } from "peyk";
import { connect } from "peyk/client";
import { serveNode } from "peyk/node";
import { sqlite } from "peyk/sqlite";

function openEngine() {
  return createEngine({
    authenticate: ({ token }) => token === "sara-signs-in" ? { userId: "sara" } : null,
    storage: sqlite("data/peyk.db"),
  });
}

async function main(entries) {
  const names = entries.flatMap((entry) => Object.keys(entry));
  console.log(`${entries.length} entries with ${names.length} names`);

  mkdirSync("data");
  const engine = await openEngine();
  const server = createServer();
  serveNode(engine, server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const sara = connect(`ws://127.0.0.1:${server.address().port}/peyk`, { token: () => "sara-signs-in" });
  const arrived = new Promise((resolve) => sara.onMessage(({ content }) => resolve(console.log(`sara got: ${content}`))));
  const { durability } = await engine.publish({ to: "sara", content: "Hello world" });
  await arrived;
  await sara.close();
  await engine.close();
  server.close();

  const again = await openEngine();
  const devices = await again.sessions("sara");
  console.log(`stored: ${durability}, and ${devices.length} device when opened again`);
  await again.close();
}

/** @param {object[]} entries the package's, each whole */
export function run(entries) {
  main(entries).catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });
}
