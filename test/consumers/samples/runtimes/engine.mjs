/** An engine on sqlite for whoever comes: a token is the name of a user, each of whom a message waits for. */
import { once } from "node:events";
import { createServer } from "node:http";
import process from "node:process";
import { createEngine } from "peyk";
import { serveNode } from "peyk/node";
import { sqlite } from "peyk/sqlite";

const [, , file, ...names] = process.argv;
const engine = await createEngine({
  authenticate: ({ token }) => names.includes(token) ? { userId: token } : null,
  storage: sqlite(file),
});
const server = createServer();
serveNode(engine, server);
server.listen(0, "127.0.0.1");
await once(server, "listening");
for (const to of names) await engine.publish({ to, content: "Hello world" });
console.log(`listening on ws://127.0.0.1:${server.address().port}/peyk`);

process.once("SIGTERM", async () => {
  await engine.close();
  server.close();
});
