import { CloseCode } from "../protocol/codes.ts";
import { decodeClientMessage, encodeServerFrame } from "../protocol/codec.ts";
import { PeykError } from "../protocol/errors.ts";
import type { ClientFrame } from "../protocol/frames.ts";
import type { Connection, ConnectionEvents } from "../ports/connection.ts";
import type { Logger } from "../ports/logger.ts";
import type { Ending } from "../delivery/leave.ts";
import type { Outlet } from "../delivery/outlet.ts";
import type { Session } from "../delivery/session.ts";
import { type Batch, type Flushable, type Flusher, MAX_BATCH_BYTES } from "./flusher.ts";
import type { Beating, Heartbeat } from "./heartbeat.ts";

/** Who acts on what a connection brings. */
export interface LinkHost {
  readonly flusher: Flusher;
  readonly heartbeat: Heartbeat;
  readonly logger: Logger;
  /** The longest message that is taken in, bytes. */
  readonly maxFrameBytes: number;
  /** Frames from one connection per heartbeat. */
  readonly maxFramesPerBeat: number;
  /** A frame, in the order of arrival. A throw becomes the connection's end. */
  frame(link: Link, frame: ClientFrame): void;
  /** The connection takes no more for now. */
  filled(session: Session): void;
  /** The connection has room again. */
  drained(session: Session): void;
  /**
   * The connection is over: `link.ended` says how.
   * @param code what it was closed with; undefined: the other side ended it
   */
  closed(link: Link, code: number | undefined): void;
}

/** The most that may wait for the kernel before entries stay in the log, bytes. */
const MAX_BUFFERED_BYTES = 1024 * 1024;
/** A browser says so of a page that is left (RFC 6455 section 7.4.1). */
const GOING_AWAY = 1001;
/** What is no entry (answers, receipts) can't wait in the log: whoever lets that much of it pile up is closed, bytes. */
const MAX_UNREAD_BYTES = 2 * MAX_BUFFERED_BYTES;
/** Heartbeats without a word after which the other side counts as dead. */
const MAX_SILENT_BEATS = 2;

/** A connection as the engine sees it: bytes in, frames out; frames in, merged bytes out. */
export class Link implements ConnectionEvents, Outlet, Flushable, Beating {
  // What the fan-out touches stands first.
  readonly connection: Connection;
  readonly #host: LinkHost;
  #batch: Batch;
  /** How it ended. Undefined while it is open. */
  ended: Ending | undefined = undefined;
  full = false;
  readonly order: number;
  #silentBeats = 0;
  #frames = 0;
  /** Whose connection it is, once it has said so. */
  session: Session | undefined = undefined;
  /** Requests that wait for their answer. */
  waiting = 0;

  constructor(connection: Connection, order: number, host: LinkHost) {
    this.connection = connection;
    this.order = order;
    this.#host = host;
    this.#batch = host.flusher.empty;
  }

  get isOpen(): boolean {
    return this.ended === undefined;
  }

  // What the other side sends.

  message(bytes: Uint8Array): void {
    this.#silentBeats = 0;
    if (!this.isOpen) return;
    const { maxFrameBytes, maxFramesPerBeat } = this.#host;
    try {
      if (bytes.length > maxFrameBytes) {
        throw new PeykError("too-large", `a message of ${bytes.length} bytes`, { hint: `At most ${maxFrameBytes} bytes.` });
      }
      const { frames, count } = decodeClientMessage(bytes);
      this.#frames += count;
      if (this.#frames > maxFramesPerBeat) throw new PeykError("too-many", "too many frames", { retryable: true });
      for (const frame of frames) {
        this.#host.frame(this, frame);
        if (!this.isOpen) return;
      }
    } catch (error) {
      this.fail(error);
    }
  }

  drained(): void {
    this.full = false;
    if (this.session !== undefined) this.#host.drained(this.session);
  }

  closed(code: number): void {
    this.#end(endingOf(code), undefined);
  }

  // What we send.

  write(frame: Uint8Array): void {
    if (!this.isOpen) return;
    const { flusher } = this.#host;
    if (this.#batch === flusher.empty) flusher.enlist(this);
    this.#batch = this.#batch.with(frame);
    if (flusher.isFull(this.#batch)) this.flush();
  }

  send(frames: Uint8Array): void {
    this.flush();
    if (this.isOpen) this.#hand(frames);
  }

  flush(): void {
    const { empty, lease } = this.#host.flusher;
    if (this.#batch !== empty && lease.isHeld) this.#send();
  }

  #send(): void {
    const bytes = this.#batch.bytes();
    this.#batch = this.#host.flusher.empty;
    this.#hand(bytes);
  }

  #hand(bytes: Uint8Array): void {
    if (!this.connection.send(bytes)) this.backlog();
  }

  /** Looked at only when the connection says so: asking a socket costs more than writing down the answer. */
  backlog(): void {
    const { bufferedAmount } = this.connection;
    const full = bufferedAmount > MAX_BUFFERED_BYTES - MAX_BATCH_BYTES;
    if (full !== this.full) {
      this.full = full;
      if (full && this.session !== undefined) this.#host.filled(this.session);
    }
    if (bufferedAmount > MAX_UNREAD_BYTES) this.close(CloseCode.slow, "nothing is read");
  }

  /** Tells the other side what went wrong, then ends the connection. */
  fail(error: unknown): void {
    const known = presentable(error, this.#host.logger);
    this.write(errorFrame(null, known));
    this.close(closeCodeOf(known), known.code);
  }

  close(code: number, reason: string): void {
    if (!this.isOpen) return;
    this.flush();
    // Flushing may have found that nobody reads.
    if (!this.isOpen) return;
    this.connection.close(code, reason);
    this.#end("lost", code);
  }

  /** Once per heartbeat: asks for a sign of life, gives up without one. */
  beat(): void {
    this.#frames = 0;
    if (this.#silentBeats++ >= MAX_SILENT_BEATS) this.close(CloseCode.heartbeat, "nothing heard for too long");
    else this.write(this.#host.heartbeat.ping);
  }

  #end(how: Ending, code: number | undefined): void {
    if (!this.isOpen) return;
    this.ended = how;
    this.#batch = this.#host.flusher.empty;
    this.#host.heartbeat.remove(this);
    this.#host.closed(this, code);
  }
}

/** By the other side's close code. */
function endingOf(code: number): Ending {
  if (code === CloseCode.normal) return "clean";
  return code === CloseCode.left || code === GOING_AWAY ? "left" : "lost";
}

/** What a client may hear of an error. One that is no PeykError is a defect, ours or of a callback: the log has it, the client only its code. */
export function presentable(error: unknown, logger: Logger): PeykError {
  if (error instanceof PeykError) return error;
  logger.error("a frame could not be acted on", { error });
  return new PeykError("internal", "the server failed", { retryable: true });
}

/** An error as the client hears it. */
export function errorFrame(ref: number | null, { code, retryable, retryAfterMs, hint, message }: PeykError): Uint8Array {
  const wait = retryAfterMs === undefined ? null : Math.max(0, Math.ceil(retryAfterMs));
  return encodeServerFrame({ type: "error", ref, code, retryable, retryAfterMs: wait, hint: (hint ?? message).toWellFormed() });
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
