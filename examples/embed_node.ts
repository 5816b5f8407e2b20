/**
 * Five minutes to messaging in your own Node server: an engine beside it, and one client that talks to it.
 * In this repository: `node --conditions=peyk-source examples/embed_node.ts`, or the same with `deno run -A`.
 * Where peyk is installed it runs as it is, without the condition.
 */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEngine } from "peyk";
import { connect } from "peyk/client";
import { serveNode } from "peyk/node";
import { sqlite } from "peyk/sqlite";

// Who is it? Here a table; in your server a session cookie (`request` is at hand too) or a signed token.
const users = new Map([["sara-signs-in", "sara"]]);

const folder = await mkdtemp(join(tmpdir(), "peyk-"));
const engine = await createEngine({
  authenticate: ({ token }) => {
    const userId = users.get(token ?? "");
    return userId === undefined ? null : { userId };
  },
  storage: sqlite(join(folder, "peyk.db")),
});

// Any node:http server will do: Express, Fastify, Hono and Next have one inside.
const server = createServer((_request, response) => response.end("your pages"));
serveNode(engine, server, { path: "/peyk" });
server.listen(0, "127.0.0.1");
await once(server, "listening");
const { port } = server.address() as AddressInfo;

// The other end, usually in a browser or an app.
const sara = connect(`ws://127.0.0.1:${port}/peyk`, { token: () => "sara-signs-in" });
const arrived = new Promise<void>((resolve) => {
  sara.onMessage((message) => {
    console.log(`sara got: ${message.content}`);
    resolve();
  });
});

const result = await engine.publish({ to: "sara", content: "Hello world" });
console.log(`accepted for ${result.topic}, stored: ${result.durability}`);
await arrived;

await sara.close();
await engine.close();
server.close();
await rm(folder, { recursive: true });
