import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";
import { listen, type Peer } from "../../fan_out/peers/peer.ts";

/** Socket.IO with its Redis adapter as its documentation sets it up. Clients tell how much they have, as Peyk's do. */
export async function startSocketIo(url: string): Promise<Peer> {
  const publishing = createClient({ url });
  const subscribing = publishing.duplicate();
  await Promise.all([publishing.connect(), subscribing.connect()]);
  const server = createServer();
  const io = new Server(server, { transports: ["websocket"], adapter: createAdapter(publishing, subscribing) });
  io.on("connection", (socket) => socket.on("ack", (count: number) => socket.data.acked = count));
  return {
    port: await listen(server),
    broadcast(texts) {
      for (const text of texts) io.emit("message", text);
    },
  };
}
