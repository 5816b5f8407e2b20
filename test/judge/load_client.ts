import type { ConnectionEvents } from "../../src/ports/connection.ts";
import { encodeClientFrame } from "../../src/protocol/codec.ts";
import type { Node } from "./node.ts";

/** A connection that says hello and nothing more. It is not written down: its user has no target, nothing can be said of its pushes. */
export class LoadClient {
  readonly #node: Node;
  readonly #events: ConnectionEvents;
  #ended = false;

  constructor(node: Node, user: string, deviceId: string) {
    this.#node = node;
    this.#events = node.engine.accept({
      send: () => true,
      bufferedAmount: 0,
      // A socket is gone some time after it was told to close.
      close: () => queueMicrotask(() => this.leave()),
    }, { url: "/peyk", headers: new Headers(), remoteAddress: "127.0.0.1" });
    this.#events.message(encodeClientFrame({
      ...{
        type: "hello",
        version: 1,
        capabilities: [],
        deviceId,
        temporary: false,
        signedOut: [],
        token: user,
        cursors: [],
        more: false,
      },
      ...{ visible: true, idleMs: null },
    }));
  }

  /** The network takes it. */
  leave(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#node.isRunning) this.#events.closed(1006);
  }
}
