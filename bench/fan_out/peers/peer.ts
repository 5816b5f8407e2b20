import type { Server } from "node:http";
import type { AddressInfo } from "node:net";

/** One way to bring messages to many sockets. Runs in a server process of its own. */
export interface Peer {
  /** Where it listens on 127.0.0.1. */
  readonly port: number;
  /** Connections `from` to `to` (exclusive) are open: what it still takes to make subscribers of them. */
  admit?(from: number, to: number): Promise<void>;
  /** Sends each text to every subscriber, all within this tick of the event loop. */
  broadcast(texts: readonly string[]): void;
}

/** Listens on a free port of the loopback. */
export function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.on("error", reject);
    server.listen(0, "127.0.0.1", 4_096, () => resolve((server.address() as AddressInfo).port));
  });
}
