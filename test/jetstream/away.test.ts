import { afterEach, beforeEach, expect, test } from "vitest";
import { type NatsServer, startServer } from "../nats/servers.ts";
import { clients, createEar, publish, startNode, until } from "./stage.ts";

let server: NatsServer;

beforeEach(async () => {
  server = await startServer({ jetstream: true });
});
afterEach(() => server.close());

for (const client of Object.keys(clients)) {
  test(`${client}: publishes wait for a server that is away, each is stored once, and those beyond the bound are refused at once`, async () => {
    await using node = await startNode(server.url, {}, client);
    const ear = createEar();
    await node.transport.subscribe("*/news", ear);
    await publish(node, "*/news", "before");
    await server.kill();
    await until(() => node.lines.some(({ message }) => message.includes("lost")));
    const waiting = Array.from({ length: 10_000 }, (_, index) => publish(node, "*/news", `${index}`));
    await expect(publish(node, "*/news", "beyond")).rejects.toMatchObject({
      name: "PeykError",
      code: "unavailable",
      retryable: true,
    });
    await server.restart();
    const all = await Promise.all(waiting);
    expect(new Set(all.map(({ position }) => position!.offset)).size).toBe(10_000);
    await until(() => ear.entries.length === 10_001);
    expect(new Set(ear.texts).size).toBe(10_001);
    expect(ear.gaps).toBe(0);
    expect((await publish(node, "*/news", "beyond")).duplicate).toBe(false);
    expect(node.lines.filter(({ message }) => /connection to NATS is (lost|back)/.test(message)).map(({ level }) => level))
      .toEqual([
        "warn",
        "warn",
      ]);
  });

  test(`${client}: once the connection is closed for good everything is refused, and it is said once`, async () => {
    await using node = await startNode(server.url, {}, client);
    await server.kill();
    await until(() => node.lines.some(({ message }) => message.includes("lost")));
    const refusals = [
      publish(node, "*/news", "waits"),
      node.history.read("*/news", 0, 10),
      node.transport.subscribe("*/news", createEar()),
    ].map((promise) => expect(promise).rejects.toMatchObject({ name: "PeykError", code: "unavailable" }));
    await node.connection.close();
    await Promise.all(refusals);
    await expect(publish(node, "*/news", "late")).rejects.toMatchObject({ code: "unavailable" });
    await expect(node.transport.subscribe("*/news", createEar())).rejects.toMatchObject({ code: "unavailable" });
    await expect(node.history.read("*/news", 0, 10)).rejects.toMatchObject({ code: "unavailable" });
    expect(await node.peers.ask("x", new Uint8Array(), { ms: 60_000, enough: () => false })).toEqual([]);
    node.peers.tell("x", new Uint8Array());
    node.transport.signal("*/news", new Uint8Array());
    expect(node.lines.filter(({ message }) => message.includes("is closed")).map(({ level }) => level)).toEqual(["error"]);
  });
}
