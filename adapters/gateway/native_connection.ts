import type { Duplex } from "node:stream";
import { WebSocket } from "ws";
import { type GatewaySocket, NodeConnection } from "./node_connection.ts";
import type { Framer } from "./server_frame.ts";

/**
 * A connection where ws is the runtime's own: Bun has one in place of the package, which reads and writes past the stream. What
 * is written to the stream itself stays there for good once the kernel takes no more, and the stream does not tell who ended it.
 */
export class NativeConnection extends NodeConnection {
  readonly #ws: GatewaySocket;
  #backlogged = false;
  /** Called for each message when the kernel has it: one function for all of them. */
  readonly #written = (): void => {
    if (!this.#backlogged || this.#ws.readyState !== WebSocket.OPEN || this.#ws.bufferedAmount > 0) return;
    this.#backlogged = false;
    this.events.drained();
  };

  constructor(ws: GatewaySocket, socket: Duplex, framer: Framer, taken: () => void) {
    super(ws, socket, framer, taken);
    this.#ws = ws;
  }

  override send(bytes: Uint8Array): boolean {
    if (this.#ws.readyState !== WebSocket.OPEN) return true;
    this.#ws.send(bytes, this.#written);
    if (this.#ws.bufferedAmount === 0) return true;
    this.#backlogged = true;
    return false;
  }

  override get bufferedAmount(): number {
    return this.#ws.bufferedAmount;
  }

  override lookForEnd(): void {}
}

/** Whether ws, which has just taken the socket, reads it otherwise than by its events. */
export function isPastStream(socket: Duplex): boolean {
  return socket.listenerCount("data") === 0;
}
