import { connect as connectV3 } from "@nats-io/transport-node";
import { connect as connectV2 } from "nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runCase, storageCases } from "../../adapters/conformance/conformance.ts";
import { jetstream, type JetStreamConnection } from "../../adapters/jetstream/jetstream.ts";
import type { Storage } from "../../src/ports/storage.ts";
import { systemClock } from "../../src/system.ts";
import { type NatsServer, startServer } from "../nats/servers.ts";

/** What JetStream does otherwise, and why that is no harm. */
const waived: Readonly<Record<string, string>> = {
  "transport forgets a key after the window and not before": "the server's own clock keeps the window",
  "history raises the floor to the last entry that had to make room": "nothing is evicted before it expired",
  "history does not raise the floor for an expired entry that made room": "nothing is evicted before it expired",
  "history remembers the floor when what is above it expired": "nothing is evicted before it expired",
  "history keeps floor and expired counts over a restart": "nothing is evicted before it expired",
};

/** Days that pass at once would be millions of heartbeats: what waits for the server waits in its time, only dates are the case's. */
function inServersTime(storage: Storage): Storage {
  const system = systemClock();
  return {
    open: ({ clock, ...context }) =>
      storage.open({ ...context, clock: { ...system, now: () => clock.now(), elapsed: () => clock.elapsed() } }),
  };
}

let server: NatsServer;
let places = 0;

beforeAll(async () => {
  server = await startServer({ jetstream: true, config: ["max_payload: 8MB"] });
});
afterAll(() => server.close());

const clients: Record<string, (servers: string) => Promise<JetStreamConnection & { close(): Promise<void> }>> = {
  "nats 2.29": (servers) => connectV2({ servers, maxReconnectAttempts: -1 }),
  "transport-node 3.4": (servers) => connectV3({ servers, maxReconnectAttempts: -1 }),
};

const all = storageCases();

test("every waiver names a case", () => {
  const names = new Set(all.map(({ port, name }) => `${port} ${name}`));
  expect(Object.keys(waived).filter((name) => !names.has(name))).toEqual([]);
});

for (const [client, connect] of Object.entries(clients)) {
  describe(`jetstream over ${client}`, () => {
    for (const one of all) {
      const name = `${one.port} ${one.name}`;
      if (name in waived) continue;
      test(name, async () => {
        const connection = await connect(server.url);
        try {
          const { idempotencyMs } = one.retention ?? {};
          const retention = idempotencyMs === undefined ? {} : { idempotencyMs };
          const place = `place_${++places}`;
          expect(await runCase(one, () => inServersTime(jetstream({ connection, name: place, retention })))).toBe("passed");
        } finally {
          await connection.close();
        }
      });
    }
  });
}
