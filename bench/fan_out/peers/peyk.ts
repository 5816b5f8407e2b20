import { createServer } from "node:http";
import { serveNode } from "../../../adapters/node.ts";
import { createEngine } from "../../../mod.ts";
import { listen, type Peer } from "./peer.ts";

/** Peyk with its defaults, in memory: a user per connection, each subscribed to one public channel; acks on. */
export async function startPeyk(): Promise<Peer> {
  const engine = await createEngine({
    authenticate: ({ token }) => token === undefined ? null : { userId: token },
  });
  const server = createServer();
  serveNode(engine, server, { path: "/peyk" });
  return {
    port: await listen(server),
    async admit(from, to) {
      for (let index = from; index < to; index++) {
        await engine.subscribe(`user-${index}`, { to: "*", channel: "bench" });
      }
    },
    broadcast(texts) {
      // A publish that fails leaves its rejection unhandled, which ends this process and with it the run.
      for (const data of texts) void engine.publish({ to: "*", channel: "bench", data });
    },
  };
}
