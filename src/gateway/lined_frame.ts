import type { PeykError } from "../protocol/errors.ts";
import { fingerprint } from "../protocol/fingerprint.ts";
import { encodeServerFrame } from "../protocol/codec.ts";
import type { ClientFrame, InLine } from "../protocol/frames.ts";
import type { SessionRecord } from "../ports/users.ts";
import type { Logger } from "../ports/logger.ts";
import type { Answer, LinedRequest } from "../delivery/line.ts";
import type { Lines } from "../delivery/lines.ts";
import type { Session } from "../delivery/session.ts";
import type { Asked } from "../delivery/subscriptions.ts";
import { errorFrame, type Link, presentable } from "./link.ts";

/** A frame that may stand in a line. */
export type Lined = Extract<ClientFrame, { line?: InLine | undefined }>;

/** As soon as the next request may begin: what this one comes to. */
export interface Outcome {
  readonly outcome: unknown;
}

/** Who acts on it in its turn. */
export interface LinedHost {
  readonly logger: Logger;
  act(link: Link, asked: Asked, frame: Lined): Promise<Outcome>;
}

/** The longest text that is remembered of what a request asked for. */
const MOST_WHAT = 256;

/** A frame of a connection, in its session's line. */
export class LinedFrame implements LinedRequest {
  readonly number: number;
  readonly what: string;
  readonly bytes: number;
  readonly passes: boolean;
  readonly #host: LinedHost;
  readonly #link: Link;
  readonly #session: Session;
  readonly #frame: Lined;
  readonly #line: InLine;
  readonly #lines: Lines;

  constructor(host: LinedHost, link: Link, session: Session, frame: Lined, line: InLine, lines: Lines) {
    const what = whatIs(frame);
    this.number = line.number;
    this.what = what.length <= MOST_WHAT ? what : fingerprint(what);
    this.bytes = frame.type === "publish" ? frame.payload.length : 0;
    this.passes = frame.type === "publish";
    this.#host = host;
    this.#link = link;
    this.#session = session;
    this.#frame = frame;
    this.#line = line;
    this.#lines = lines;
  }

  get patienceMs(): number {
    return this.#frame.type === "publish" ? (this.#frame.options?.ttl ?? Infinity) * 1_000 : Infinity;
  }

  get isWanted(): boolean {
    return this.#session.outlet === this.#link;
  }

  act(answer: (value: unknown) => void): Promise<Outcome> {
    const remember = (stored: SessionRecord, value: unknown): SessionRecord =>
      this.#lines.stored(stored, this.#line.id, this, value);
    return this.#host.act(this.#link, { session: this.#session, answer, remember }, this.#frame);
  }

  fault(error: unknown): PeykError {
    return presentable(error, this.#host.logger);
  }

  answer(answer: Answer, again = false): void {
    const { ref, type } = this.#frame;
    // What it changed for the device the welcome of this connection has told.
    const isTold = again && (type === "subscribe" || type === "unsubscribe") && "value" in answer;
    this.#link.write(answerFrame(ref, isTold ? { value: { ...answer.value as object | null, again } } : answer));
  }
}

/** What a request asks for, as far as it takes to tell another one from a repeat. */
function whatIs(frame: Lined): string {
  switch (frame.type) {
    case "publish":
      return frame.id;
    case "target":
      return `target ${frame.provider}`;
    case "mark":
      return `${frame.kind} ${frame.offset} ${frame.topic}`;
    default:
      return `${frame.type} ${frame.topic}`;
  }
}

/** An answer as it is sent. */
export function answerFrame(ref: number, answer: Answer): Uint8Array {
  return "error" in answer ? errorFrame(ref, answer.error) : encodeServerFrame({ type: "ok", ref, value: answer.value });
}
