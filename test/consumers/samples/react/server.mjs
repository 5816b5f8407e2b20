/**
 * The page beside an engine on one server: `node server.mjs` serves what Vite has built, `node server.mjs dev` is Vite's development
 * server. A POST publishes its body to Sara, and answers her sessions' states.
 */
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import process from "node:process";
import { text } from "node:stream/consumers";
import { createEngine } from "peyk";
import { serveNode } from "peyk/node";

const types = { ".js": "text/javascript", ".css": "text/css" };

function built({ url }, response) {
  const path = url === "/" ? "index.html" : url.slice(1);
  response.setHeader("content-type", types[/\.\w+$/.exec(path)?.[0]] ?? "text/html");
  createReadStream(join("dist", path)).on("error", () => response.writeHead(404).end()).pipe(response);
}

async function developed(server) {
  const { createServer } = await import("vite");
  const vite = await createServer({ server: { middlewareMode: true, hmr: { server } }, appType: "spa", logLevel: "warn" });
  return { pages: vite.middlewares, close: () => vite.close() };
}

const engine = await createEngine({ authenticate: ({ token }) => token === "sara-signs-in" ? { userId: "sara" } : null });
const server = createServer(async (request, response) => {
  if (request.method !== "POST") return void pages(request, response);
  const content = await text(request);
  if (content !== "") await engine.publish({ to: "sara", content });
  const sessions = await engine.sessions("sara");
  response.end(JSON.stringify(sessions.map(({ state }) => state)));
});
const { pages, close } = process.argv.includes("dev") ? await developed(server) : { pages: built, close: () => {} };
serveNode(engine, server);
server.listen(0, "127.0.0.1");
await once(server, "listening");
console.log(`listening on http://127.0.0.1:${server.address().port}/`);

process.once("SIGTERM", async () => {
  await engine.close();
  await close();
  server.close();
  server.closeAllConnections();
});
