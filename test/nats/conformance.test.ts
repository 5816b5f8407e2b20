import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runCase, type StorageCase, storageCases } from "../../adapters/conformance/conformance.ts";
import { nats } from "../../adapters/nats/nats.ts";
import { memory } from "../../mod.ts";
import { clients, type Connection } from "./clients.ts";
import { type NatsServer, startServer } from "./servers.ts";

/** What a transport without a log can't do. */
const waivers: Readonly<Record<string, string>> = {
  "transport gives publishes that run at once positions of their own": "nothing has a position",
  "transport answers a known key with the first position and adds nothing": "no key is remembered",
  "transport lets one of several publishes at once under one key win": "no key is remembered",
  "transport forgets a key after the window and not before": "no key is remembered",
};

/** What is about a port, or a promise, that is not there. */
function isSkipped({ port, durable }: StorageCase): boolean {
  return port === "history" || port === "work" || durable === true;
}

describe.each(Object.keys(clients))("over %s, core NATS", (client) => {
  let server: NatsServer;
  let connection: Connection;
  let places = 0;
  beforeAll(async () => {
    server = await startServer();
    connection = await clients[client]!({ servers: server.url });
  });
  afterAll(async () => {
    await connection.close();
    await server.close();
  });

  for (const one of storageCases()) {
    const name = `${one.port} ${one.name}`;
    const run = (patienceMs: number): ReturnType<typeof runCase> =>
      runCase(one, (retention) => nats({ connection, storage: memory({ retention }), prefix: `case-${places++}` }), {
        patienceMs,
      });
    if (name in waivers) test(`does not hold: ${name}, for ${waivers[name]}`, () => expect(run(50)).rejects.toThrow());
    else test(name, async () => expect(await run(30_000)).toBe(isSkipped(one) ? "skipped" : "passed"));
  }
});
