import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { serveNode } from "../../adapters/node.ts";
import { createEngine } from "../../mod.ts";
import { connect, type Message } from "../../src/client/client.ts";

test("a published message is acked by the real client over a real socket, and explained", async () => {
  await using engine = await createEngine({ insecure: true });
  const delivered = Promise.withResolvers<string>();
  engine.on("receipt", ({ kind, id }) => kind === "delivered" && delivered.resolve(id));
  const server = createServer();
  const url = await listen(server);
  serveNode(engine, server, { path: "/peyk" });
  await using peyk = connect(`${url}/peyk`, { token: "sara" });
  const arrived = Promise.withResolvers<Message>();
  peyk.onMessage((message) => arrived.resolve(message));

  const result = await engine.publish({ to: "sara", content: "Hello world", data: { n: [1, 2] } });

  expect(await arrived.promise).toMatchObject({ id: result.id, to: "sara", content: "Hello world", data: { n: [1, 2] } });
  expect(await delivered.promise).toBe(result.id);
  const explanation = await engine.explain(result);
  expect(explanation?.devices[0]?.events.map(({ kind }) => kind)).toEqual(["routed", "seen", "acked"]);
  server.close();
});

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
