import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runCase, storageCases } from "../../adapters/conformance/conformance.ts";
import { type NatsServer, startServer } from "../nats/servers.ts";
import { clients, freshName, stateStorage, type TestConnection } from "./state_stage.ts";

let server: NatsServer;
beforeAll(async () => {
  server = await startServer({ jetstream: true });
});
afterAll(() => server?.close());

for (const [client, connect] of Object.entries(clients)) {
  describe(`the JetStream state, over a connection of ${client}`, () => {
    let connection: TestConnection;
    beforeAll(async () => {
      connection = await connect(server.url);
    });
    afterAll(() => connection?.close());

    for (const one of storageCases().filter(({ port }) => port === "users" || port === "outbox")) {
      test(`${one.port} ${one.name}`, async () => {
        const name = freshName();
        expect(await runCase(one, () => stateStorage(connection, name))).toBe("passed");
      });
    }
  });
}
