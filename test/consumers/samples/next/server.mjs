/**
 * A server of one's own with Next and an engine in it: `node server.mjs`, with `dev` for Next's development server. With `handler` it
 * gives upgrades to Next's handler itself, else Next finds the server at its first request.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import process from "node:process";
import next from "next";
import { createEngine } from "peyk";
import { serveNode } from "peyk/node";

const words = process.argv.slice(2);
const server = createServer((request, response) => handle(request, response));
server.listen(0, "127.0.0.1");
await once(server, "listening");
const { port } = server.address();
const app = next({ dev: words.includes("dev"), hostname: "127.0.0.1", port, httpServer: server });
const handle = app.getRequestHandler();
const engine = await createEngine({ authenticate: ({ token }) => token === "sara-signs-in" ? { userId: "sara" } : null });
await app.prepare();
if (words.includes("handler")) server.on("upgrade", app.getUpgradeHandler());
serveNode(engine, server);
await engine.publish({ to: "sara", content: "Hello world" });
console.log(`listening on http://127.0.0.1:${port}`);

process.once("SIGTERM", async () => {
  await engine.close();
  await app.close();
  server.close();
  server.closeAllConnections();
  // In development Next goes on watching its files.
  if (words.includes("dev")) process.exit();
});
