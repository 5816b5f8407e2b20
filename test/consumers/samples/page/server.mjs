/** Serves the client to a page as it stands in the package, beside an engine. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { createEngine } from "peyk";
import { serveNode } from "peyk/node";

const path = fileURLToPath(import.meta.resolve("peyk/dist/client.min.js"));
if (path !== createRequire(import.meta.url).resolve("peyk/dist/client.min.js")) throw new Error("require finds another one");
const [client, page] = [readFileSync(path), readFileSync("page.html")];

const engine = await createEngine({ authenticate: ({ token }) => token === "sara-signs-in" ? { userId: "sara" } : null });
const server = createServer(({ url }, response) => {
  if (url === "/client.js") response.setHeader("content-type", "text/javascript").end(client);
  else if (url === "/") response.setHeader("content-type", "text/html").end(page);
  else response.writeHead(404).end();
});
serveNode(engine, server);
server.listen(0, "127.0.0.1");
await once(server, "listening");
await engine.publish({ to: "sara", content: "Hello world" });
console.log(`listening on http://127.0.0.1:${server.address().port}`);

process.once("SIGTERM", async () => {
  await engine.close();
  server.close();
});
