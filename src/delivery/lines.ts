import { PeykError } from "../protocol/errors.ts";
import type { InLine } from "../protocol/frames.ts";
import type { Clock } from "../ports/clock.ts";
import type { DeviceLines, SessionRecord } from "../ports/users.ts";
import { Line, type LinedRequest, outcomeUnknown, WINDOW } from "./line.ts";

/** Lines of one device: as many tabs as a person has open. */
const MOST = 16;
/** A line's name, characters. */
const MOST_NAME = 64;
/** What was not used for so long is forgotten. A client gives a request up after half of that. */
const FORGET_AFTER_MS = 24 * 3600_000;
/** What the requests that wait may weigh, all lines together. */
const MOST_BYTES = 2 * 1024 * 1024;

/** A device's lines of requests, on whichever connection they come. */
export class Lines {
  readonly #clock: Clock;
  /** Those used the longest ago first. */
  readonly #lines = new Map<string, Line>();
  #latest: Line | undefined;
  /** Lines last used up to here may be forgotten. Milliseconds since 1970. */
  #forgottenUpTo: number;

  constructor(clock: Clock, stored?: DeviceLines) {
    this.#clock = clock;
    this.#forgottenUpTo = stored?.forgottenUpTo ?? -Infinity;
    for (const line of stored?.lines ?? []) this.#lines.set(line.id, new Line(line.id, clock, line));
  }

  /**
   * Takes a request: it is answered in its turn.
   * @throws {PeykError} `outcome-unknown`, `too-many`, `bad-name`, `bad-message`: it is not acted on
   */
  take({ id, ageMs, number }: InLine, request: LinedRequest): void {
    if (id.length === 0 || id.length > MOST_NAME) throw new PeykError("bad-name", `line: not of 1 to ${MOST_NAME} characters`);
    if (number === 0) throw new PeykError("bad-message", "number: they begin at 1");
    const line = this.#open(id, ageMs);
    if (line.waiting >= WINDOW) throw tooMany(`At most ${WINDOW} requests of a line wait for their answer.`);
    if (this.#waitingBytes() > MOST_BYTES) throw tooMany(`At most ${MOST_BYTES} bytes of requests wait.`);
    line.take(request);
  }

  #waitingBytes(): number {
    let bytes = 0;
    for (const line of this.#lines.values()) bytes += line.bytes;
    return bytes;
  }

  #open(id: string, ageMs: number): Line {
    const now = this.#clock.now();
    if (ageMs > FORGET_AFTER_MS) throw outcomeUnknown();
    let line = this.#lines.get(id);
    if (line === undefined && ageMs > 0 && now - ageMs <= this.#forgottenUpTo) throw outcomeUnknown();
    line ??= this.#add(id, now);
    if (line === this.#latest) return line;
    // It is the one that was used last.
    this.#lines.delete(id);
    this.#lines.set(id, line);
    return this.#latest = line;
  }

  #add(id: string, now: number): Line {
    for (const [other, { isIdle, usedAt }] of this.#lines) {
      if (this.#lines.size < MOST && now - usedAt <= FORGET_AFTER_MS) break;
      if (!isIdle) continue;
      this.#lines.delete(other);
      this.#forgottenUpTo = Math.max(this.#forgottenUpTo, usedAt);
    }
    if (this.#lines.size >= MOST) throw tooMany(`At most ${MOST} lines of a device may wait for answers.`);
    return new Line(id, this.#clock);
  }

  /** The connection that requests came on is gone, or another one is there: nothing waits for it. */
  wake(): void {
    for (const line of this.#lines.values()) line.wake();
  }

  /** All that waits and is not begun is refused. */
  refuse(error: PeykError): void {
    for (const line of this.#lines.values()) line.refuse(error);
  }

  /** The session with the lines as they are, and the answer to a request that is being acted on. */
  stored(session: SessionRecord, id: string, request: LinedRequest, value: unknown): SessionRecord {
    const lines = [...this.#lines.values()].flatMap((line) =>
      (line.id === id ? line.record(request, value) : line.record()) ?? []
    );
    const forgotten = this.#forgottenUpTo === -Infinity ? {} : { forgottenUpTo: this.#forgottenUpTo };
    return { ...session, lines: { lines, ...forgotten } };
  }
}

/** Without the lines that are too old to be remembered. */
export function freshLines({ lines, forgottenUpTo }: DeviceLines, now: number): DeviceLines | undefined {
  const fresh = lines.filter(({ usedAt }) => now - usedAt <= FORGET_AFTER_MS);
  // What is said again of so long ago is refused anyway.
  const isOver = forgottenUpTo === undefined || now - forgottenUpTo > FORGET_AFTER_MS;
  if (fresh.length === 0 && isOver) return undefined;
  return isOver ? { lines: fresh } : { lines: fresh, forgottenUpTo };
}

function tooMany(hint: string): PeykError {
  return new PeykError("too-many", "too many requests wait", { retryable: true, hint });
}
