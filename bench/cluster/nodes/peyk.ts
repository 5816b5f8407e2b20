import { createServer } from "node:http";
import { connect } from "@nats-io/transport-node";
import { jetstream } from "../../../adapters/jetstream/jetstream.ts";
import { nats } from "../../../adapters/nats/nats.ts";
import { serveNode } from "../../../adapters/node.ts";
import { createEngine, memory } from "../../../mod.ts";
import type { Storage } from "../../../src/ports/storage.ts";
import { listen, type Peer } from "../../fan_out/peers/peer.ts";

/** Users that are subscribed at the same time. */
const AT_ONCE = 50;

/** Peyk alone, in memory. */
export function startSingle(): Promise<Peer> {
  return start(memory());
}

/** Peyk over core NATS: users in the node's memory, messages live and unlogged. */
export async function startCore(url: string): Promise<Peer> {
  return await start(nats({ connection: await connect({ servers: url }), storage: memory() }));
}

/** Peyk on JetStream: users and logs on the server. */
export async function startJetStream(url: string): Promise<Peer> {
  return await start(jetstream({ connection: await connect({ servers: url }) }));
}

/** With its defaults: a user per connection, each subscribed to one public channel; acks on. */
async function start(storage: Storage): Promise<Peer> {
  const engine = await createEngine({
    authenticate: ({ token }) => token === undefined ? null : { userId: token },
    storage,
  });
  const server = createServer();
  serveNode(engine, server, { path: "/peyk" });
  return {
    port: await listen(server),
    async admit(from, to) {
      for (let index = from; index < to; index += AT_ONCE) {
        const users = Array.from({ length: Math.min(AT_ONCE, to - index) }, (_, nth) => `user-${index + nth}`);
        await Promise.all(users.map((user) => engine.subscribe(user, { to: "*", channel: "bench" })));
      }
    },
    broadcast(texts) {
      // A publish that fails leaves its rejection unhandled, which ends this process and with it the run.
      for (const data of texts) void engine.publish({ to: "*", channel: "bench", data });
    },
  };
}
