/** A chat room, in this file and page.html. `npm run chat`, then open the address that it prints in two tabs, as two people. */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createEngine, type Identity } from "peyk";
import { serveNode } from "peyk/node";

const port = Number(process.env.PORT ?? 3000);
const page = readFileSync(new URL("page.html", import.meta.url));
// `npm run build` makes it. Where peyk is installed it is new URL(import.meta.resolve("peyk/dist/client.min.js")).
const client = readFileSync(new URL("../../dist/client.min.js", import.meta.url));

/** Whose a token is. In memory, as the messages are: with a `storage` they would outlive this process. */
const people = new Map<string, Identity>();
const engine = await createEngine({ authenticate: ({ token = "" }) => people.get(token) ?? null });

const server = createServer((request, response) => {
  const url = URL.parse(request.url ?? "", "http://localhost");
  const userId = url?.searchParams.get("name") ?? "";
  const asked = `${request.method} ${url?.pathname}`;
  if (asked === "GET /") response.setHeader("content-type", "text/html").end(page);
  else if (asked === "GET /client.js") response.setHeader("content-type", "text/javascript").end(client);
  else if (asked === "POST /sign-in" && /^[\p{L}\p{M}\p{N} ]{1,30}$/u.test(userId)) {
    const token = randomUUID(); // A real app asks for a password or a passkey first: this one takes everybody's word.
    people.set(token, { userId });
    response.end(token);
  } else response.writeHead(404).end();
});
serveNode(engine, server, { path: "/peyk" });
server.listen(port, "127.0.0.1", () => console.log(`Chat: http://127.0.0.1:${port}`));
