import { CloseCode } from "../protocol/codes.ts";
import { decodeClientFrames, encodeServerFrame } from "../protocol/codec.ts";
import { PeykError } from "../protocol/errors.ts";
import type { ClientFrame } from "../protocol/frames.ts";
import type { Connection, ConnectionEvents } from "../ports/connection.ts";
import type { Outlet } from "../delivery/outlet.ts";
import type { Session } from "../delivery/session.ts";
import type { Batch, Flushable, Flusher } from "./flusher.ts";
import type { Beating, Heartbeat } from "./heartbeat.ts";

/** Who acts on what a connection brings. */
export interface LinkHost {
  readonly flusher: Flusher;
  readonly heartbeat: Heartbeat;
  /** A frame, in the order of arrival. A throw becomes the connection's end. */
  frame(link: Link, frame: ClientFrame): void;
  /** The connection has room again. */
  drained(session: Session): void;
  /** The connection is over. */
  closed(link: Link, how: "clean" | "lost"): void;
}

/** The most that may wait for the kernel before entries stay in the log, bytes. */
const MAX_BUFFERED_BYTES = 1024 * 1024;
/** Heartbeats without a word after which the other side counts as dead. */
const MAX_SILENT_BEATS = 2;

/** WebSocket messages from one connection per heartbeat: some 400 a second. An honest client packs what it has into one. */
const MAX_MESSAGES_PER_BEAT = 10_000;

/** A connection as the engine sees it: bytes in, frames out; frames in, merged bytes out. */
export class Link implements ConnectionEvents, Outlet, Flushable, Beating {
  readonly #connection: Connection;
  readonly #host: LinkHost;
  #batch: Batch;
  #silentBeats = 0;
  #messages = 0;
  #open = true;
  /** Whose connection it is, once it has said so. */
  session: Session | undefined = undefined;

  constructor(connection: Connection, host: LinkHost) {
    this.#connection = connection;
    this.#host = host;
    this.#batch = host.flusher.empty;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  // What the other side sends.

  message(bytes: Uint8Array): void {
    this.#silentBeats = 0;
    if (!this.#open) return;
    try {
      if (++this.#messages > MAX_MESSAGES_PER_BEAT) throw new PeykError("too-many", "too many frames", { retryable: true });
      for (const frame of decodeClientFrames(bytes)) {
        this.#host.frame(this, frame);
        if (!this.#open) return;
      }
    } catch (error) {
      this.fail(error);
    }
  }

  drained(): void {
    if (this.session !== undefined) this.#host.drained(this.session);
  }

  closed(clean: boolean): void {
    this.#end(clean ? "clean" : "lost");
  }

  // What we send.

  write(frame: Uint8Array): void {
    if (!this.#open) return;
    const { flusher } = this.#host;
    if (this.#batch === flusher.empty) flusher.enlist(this);
    this.#batch = this.#batch.with(frame);
    if (flusher.isFull(this.#batch)) this.#send();
  }

  get full(): boolean {
    return this.#connection.bufferedAmount + this.#batch.size > MAX_BUFFERED_BYTES;
  }

  flush(): void {
    if (this.#batch !== this.#host.flusher.empty) this.#send();
  }

  #send(): void {
    const bytes = this.#batch.bytes();
    this.#batch = this.#host.flusher.empty;
    this.#connection.send(bytes);
  }

  /** Tells the other side what went wrong, then ends the connection. */
  fail(error: unknown): void {
    const known = error instanceof PeykError ? error : new PeykError("internal", "the server failed", { retryable: true });
    this.write(errorFrame(null, known));
    this.close(closeCodeOf(known), known.code);
  }

  close(code: number, reason: string): void {
    if (!this.#open) return;
    this.flush();
    this.#connection.close(code, reason);
    this.#end("lost");
  }

  /** Once per heartbeat: asks for a sign of life, gives up without one. */
  beat(): void {
    this.#messages = 0;
    if (this.#silentBeats++ >= MAX_SILENT_BEATS) this.close(CloseCode.heartbeat, "nothing heard for too long");
    else this.write(this.#host.heartbeat.ping);
  }

  #end(how: "clean" | "lost"): void {
    if (!this.#open) return;
    this.#open = false;
    this.#batch = this.#host.flusher.empty;
    this.#host.heartbeat.remove(this);
    this.#host.closed(this, how);
  }
}

/** An error as the client hears it. */
export function errorFrame(ref: number | null, error: PeykError): Uint8Array {
  const { code, retryable, retryAfterMs, hint } = error;
  return encodeServerFrame({ type: "error", ref, code, retryable, retryAfterMs: retryAfterMs ?? null, hint: hint ?? error.message });
}

function closeCodeOf({ code }: PeykError): number {
  switch (code) {
    case "unauthorized":
    case "forbidden":
      return CloseCode.unauthorized;
    case "expired":
      return CloseCode.expired;
    case "too-large":
      return CloseCode.tooLarge;
    case "too-many":
      return CloseCode.overloaded;
    case "draining":
      return CloseCode.drain;
    case "unsupported":
      return CloseCode.version;
    case "timeout":
      return CloseCode.helloTimeout;
    case "bad-frame":
    case "bad-order":
    case "bad-name":
    case "bad-message":
      return CloseCode.protocol;
    default:
      return CloseCode.internal;
  }
}
