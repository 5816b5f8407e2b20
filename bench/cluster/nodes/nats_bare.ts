import { connect } from "@nats-io/transport-node";
import type { Peer } from "../../fan_out/peers/peer.ts";

/** The NATS client alone. Its subscribers are connections to the server itself, so there is no node on their side. */
export async function startBareNats(url: string): Promise<Peer> {
  const connection = await connect({ servers: url });
  return {
    port: 0,
    broadcast(texts) {
      for (const text of texts) connection.publish("bench", text);
    },
  };
}
