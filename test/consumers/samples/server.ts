/** A server in TypeScript that is compiled to CommonJS: its imports become `require()`. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createEngine } from "peyk";
import { connect } from "peyk/client";
import { serveNode } from "peyk/node";
import { sqlite } from "peyk/sqlite";

async function main(): Promise<void> {
  const engine = await createEngine({
    authenticate: ({ token }) => token === "sara-signs-in" ? { userId: "sara" } : null,
    storage: sqlite("peyk.db"),
  });
  const server = createServer();
  serveNode(engine, server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const sara = connect(`ws://127.0.0.1:${port}/peyk`, { token: () => "sara-signs-in" });
  const arrived = new Promise<void>((resolve) => sara.onMessage(({ content }) => resolve(console.log(`sara got: ${content}`))));
  await engine.publish({ to: "sara", content: "Hello world" });
  await arrived;
  await sara.close();
  await engine.close();
  server.close();
}

void main();
