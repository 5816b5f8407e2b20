/**
 * Five minutes to messaging in your own Deno server: an engine beside it, and one client that talks to it.
 * In this repository: `deno run -A examples/embed_deno.ts`.
 */
import { createEngine } from "@peyk/peyk";
import { connect } from "@peyk/peyk/client";
import { serveDeno } from "@peyk/peyk/deno";
import { sqlite } from "@peyk/peyk/sqlite";

// Who is it? Here a table; in your server a session cookie (`request` is at hand too) or a signed token.
const users = new Map([["sara-signs-in", "sara"]]);

const folder = await Deno.makeTempDir({ prefix: "peyk-" });
const engine = await createEngine({
  authenticate: ({ token }) => {
    const userId = users.get(token ?? "");
    return userId === undefined ? null : { userId };
  },
  storage: sqlite(`${folder}/peyk.db`),
});

// It answers what is for its path, and leaves the rest to you.
const peyk = serveDeno(engine, { path: "/peyk" });
const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request, info) => {
  return peyk(request, info) ?? new Response("your pages");
});

// The other end, usually in a browser or an app.
const sara = connect(`ws://127.0.0.1:${server.addr.port}/peyk`, { token: () => "sara-signs-in" });
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
await server.shutdown();
await Deno.remove(folder, { recursive: true });
