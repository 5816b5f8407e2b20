import type { Buffer } from "node:buffer";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type RawData, WebSocket } from "ws";
import type { Connection, ConnectionEvents, ConnectionRequest } from "../../src/ports/connection.ts";
import { CloseCode } from "../../src/protocol/codes.ts";
import { closeReason } from "./close_reason.ts";
import type { Sent } from "./forwarded.ts";
import type { Framer } from "./server_frame.ts";
import { targetOf } from "./upgrade_router.ts";

/** ws reads what comes in and does the handshakes; what goes out is written past it. */
export class GatewaySocket extends WebSocket {
  connection!: NodeConnection;

  // ws closes by itself when what it reads is no WebSocket. Clients are to get a code that tells them whether to come back.
  // It also closes by itself when the other side says goodbye.
  override close(code?: number, reason?: string | Buffer): void {
    this.connection.open = false;
    super.close(code === undefined ? code : ownCodes[code] ?? code, reason);
  }
}

const ownCodes: Readonly<Record<number, CloseCode>> = {
  1002: CloseCode.protocol,
  1008: CloseCode.protocol,
  1009: CloseCode.tooLarge,
};

/**
 * One connection. There may be tens of thousands, nearly all idle, so there is one object for each, the listeners on ws are
 * shared, and nothing of the request is kept.
 */
export class NodeConnection implements Connection {
  readonly #socket: Duplex;
  readonly #framer: Framer;
  /** Neither side has said goodbye. It stands here as well as in ws: a fan-out reads it of thousands of connections. */
  open = true;
  events!: ConnectionEvents;
  readonly #ws: GatewaySocket;
  readonly #taken: () => void;
  #leaving = false;
  /** The socket took what it was given with a warning: it is to say when it has room again. */
  #backlogged = false;

  /** @param taken is called when the socket turns out to be ended by other code on this server */
  constructor(ws: GatewaySocket, socket: Duplex, framer: Framer, taken: () => void) {
    this.#taken = taken;
    this.#ws = ws;
    this.#socket = socket;
    this.#framer = framer;
    ws.on("message", onMessage);
    ws.on("close", onClose);
    ws.on("error", onError);
  }

  send(bytes: Uint8Array): boolean {
    if (!this.open || !this.#socket.writable) return true;
    // One write for the whole frame: the pongs and close frames that ws writes fall between frames, never into one.
    const flows = this.#socket.write(this.#framer.frame(bytes));
    if (!flows && !this.#backlogged) this.#awaitDrain();
    return flows;
  }

  /** Says so when neither side has said goodbye and still it is over. */
  lookForEnd(): void {
    if (!this.open || !isEndedHere(this.#socket)) return;
    this.open = false;
    this.#taken();
  }

  /** Few connections ever have a backlog: only these listen for its end. */
  #awaitDrain(): void {
    this.#backlogged = true;
    this.#socket.once("drain", () => {
      this.#backlogged = false;
      this.events.drained();
    });
  }

  get bufferedAmount(): number {
    return this.#socket.writableLength;
  }

  close(code: number, reason: string): void {
    if (this.#ws.readyState === WebSocket.OPEN) {
      this.#leaving = true;
      this.#ws.close(code, closeReason(reason));
    } else if (!this.#leaving) {
      // The other side hung up, but takes nothing of what is queued for it: without this the socket would stay for many minutes.
      this.#ws.terminate();
    }
  }
}

function onMessage(this: WebSocket, data: RawData, isBinary: boolean): void {
  const { connection } = this as GatewaySocket;
  if (this.readyState !== WebSocket.OPEN) return; // we said goodbye already
  if (!isBinary) return connection.close(CloseCode.protocol, "binary messages only");
  const bytes = data as Buffer;
  // A plain Uint8Array: a Buffer's slice() shares memory where a Uint8Array's copies.
  connection.events.message(new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length));
}

function onClose(this: WebSocket, code: number): void {
  const { connection } = this as GatewaySocket;
  if (code === NO_CLOSE_FRAME) connection.lookForEnd();
  connection.events.closed(code);
}

/** Whether the socket was ended from this side: the other one neither ended nor reset it. */
export function isEndedHere(socket: Duplex): boolean {
  return (socket.destroyed || socket.writableEnded) && !socket.readableEnded && !socket.errored;
}

/** The connection is gone and no close frame came. On Bun, whose own ws stands in for the package, nothing else tells the two apart. */
const NO_CLOSE_FRAME = 1006;

/** ws closes the connection after an error and says so; without a listener the error would end the process. */
function onError(): void {}

/** The request as applications see it. Few look at more than the address: the rest is made when it is asked for. */
export class NodeRequest implements ConnectionRequest {
  /** As it was at first: a socket that is gone has none. */
  readonly remoteAddress: string | undefined;
  readonly #request: IncomingMessage;
  readonly #sent: Sent;
  #headers: Headers | undefined;

  constructor(request: IncomingMessage, sent: Sent) {
    this.remoteAddress = sent.address;
    this.#request = request;
    this.#sent = sent;
  }

  get url(): string {
    return `${this.#sent.scheme}://${this.#sent.host}${targetOf(this.#request)}`;
  }

  get headers(): Headers {
    return this.#headers ??= headersOf(this.#request);
  }
}

function headersOf(request: IncomingMessage): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(", ") : value);
  }
  return headers;
}
