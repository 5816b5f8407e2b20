import { PeykError } from "../protocol/errors.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { LineAnswer, LineRecord } from "../ports/users.ts";
import { Unanswered } from "./deadline.ts";

/** Requests of one line that may wait for their answer, and answers that are remembered. */
export const WINDOW = 32;
/** A request that is refused for now holds its line back for so long at most. */
const PATIENCE_MS = 60_000;
const PAUSE_FIRST_MS = 250;
const PAUSE_MOST_MS = 5_000;

/** What a request came to. */
export type Answer = { readonly value: unknown } | { readonly error: PeykError };

/** A request in a line. */
export interface LinedRequest {
  readonly number: number;
  /** What it asks for: tells a repeat from another request under the same number. */
  readonly what: string;
  readonly bytes: number;
  /** The next one may begin as soon as this one is on its way. */
  readonly passes: boolean;
  /** The longest that it may be tried for, ms. */
  readonly patienceMs: number;
  /** Whether the connection that it came on is still the session's. Else it is not begun: it is said again on the next one. */
  readonly isWanted: boolean;
  /**
   * Takes effect, or throws.
   * @param answer may be called before the end, where more follows from the request than its answer
   * @returns as soon as the next one may begin, with what it comes to
   */
  act(answer: (value: unknown) => void): Promise<{ readonly outcome: unknown }>;
  /** What an error says to who asked. */
  fault(error: unknown): PeykError;
  /** @param again it was said before, and this is the first answer */
  answer(answer: Answer, again?: boolean): void;
}

interface Begun {
  readonly request: LinedRequest;
  /** A value: it is answered. */
  readonly outcome: Answer | Promise<Answer>;
  /** It could not even begin. */
  readonly isRefused: boolean;
}

/** One queue of requests of a device: they take effect in the order of their numbers, each once, and a repeat gets the first answer. */
export class Line {
  readonly id: string;
  /** Milliseconds since 1970. */
  usedAt: number;
  /** What waits for its turn, bytes. */
  bytes = 0;
  readonly #clock: Clock;
  /** Rising by number, the last {@link WINDOW} of them. */
  readonly #answers: { readonly number: number; readonly what: string; readonly answer: Answer }[] = [];
  /** What is answered up to here. */
  #last: number;
  readonly #queue: LinedRequest[] = [];
  /** Taken from the queue, and not answered. */
  #begun = 0;
  #isRunning = false;
  /** The request that was refused for now, and since when (monotonic). */
  #refused: { readonly number: number; readonly since: number; tries: number } | undefined;
  #pause: { readonly timer: Timer; readonly end: () => void } | undefined;

  constructor(id: string, clock: Clock, stored?: LineRecord) {
    this.id = id;
    this.#clock = clock;
    this.usedAt = stored?.usedAt ?? clock.now();
    this.#last = stored?.last ?? 0;
    for (const { number, what, value, error } of stored?.answers ?? []) {
      const answer = error === undefined ? { value } : { error: new PeykError(error.code, "refused before", error) };
      this.#answers.push({ number, what, answer });
    }
  }

  get isIdle(): boolean {
    return !this.#isRunning;
  }

  /** Requests that wait for their answer. */
  get waiting(): number {
    return this.#queue.length + this.#begun;
  }

  take(request: LinedRequest): void {
    this.usedAt = this.#clock.now();
    this.bytes += request.bytes;
    this.#queue.push(request);
    if (!this.#isRunning) void this.#run();
    // What it waits to try again is said again just now, on another connection.
    else if (this.#pause !== undefined && !this.#queue[0]!.isWanted) this.wake();
  }

  /** What waits need not wait longer: it is not wanted any more, or can be tried at once. */
  wake(): void {
    this.#pause?.end();
  }

  /** All that is not begun is refused. */
  refuse(error: PeykError): void {
    for (const request of this.#queue.splice(0)) request.answer({ error });
    this.bytes = 0;
    this.wake();
  }

  /**
   * As it is to be stored, with the answer to a request that is being acted on; undefined: there is nothing to be stored.
   * @param request acted on just now, in the put that stores this
   */
  record(request?: LinedRequest, value?: unknown): LineRecord | undefined {
    const answers: LineAnswer[] = this.#answers
      .map(({ answer, number, what }) =>
        "error" in answer ? { number, what, error: plain(answer.error) } : { number, what, value: answer.value }
      );
    if (request !== undefined) answers.push({ number: request.number, what: request.what, value });
    if (answers.length === 0) return undefined;
    return { id: this.id, last: Math.max(this.#last, request?.number ?? 0), usedAt: this.usedAt, answers };
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    try {
      while (this.#queue.length > 0) await this.#settle(await this.#begin());
    } finally {
      this.#isRunning = false;
    }
  }

  /** Begins the first one, and with it all that need not wait for it. */
  async #begin(): Promise<Begun[]> {
    const wave: Begun[] = [];
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      const last = wave.at(-1)?.request;
      if (last !== undefined && (!next.passes || next.number <= last.number)) break;
      this.#queue.shift();
      this.bytes -= next.bytes;
      const known = this.#known(next);
      if (known !== undefined) next.answer(known, true);
      else if (next.isWanted) {
        const begun = await this.#act(next);
        wave.push(begun);
        if (begun.isRefused) break;
      }
    }
    return wave;
  }

  async #act(request: LinedRequest): Promise<Begun> {
    this.#begun++;
    let isAnswered = false;
    const answer = (value: unknown): void => {
      if (isAnswered) return;
      isAnswered = true;
      this.#begun--;
      this.#answer(request, { value });
    };
    const refused = (error: unknown): Answer => isAnswered ? DONE : { error: request.fault(error) };
    try {
      const { outcome } = await request.act(answer);
      // What is stored is answered at once, whatever the others of the wave come to.
      const settled = async (): Promise<Answer> => {
        try {
          answer(await outcome);
          return DONE;
        } catch (error) {
          return refused(error);
        }
      };
      return { request, outcome: settled(), isRefused: false };
    } catch (error) {
      return { request, outcome: refused(error), isRefused: !isAnswered };
    }
  }

  /** Answers those that were refused. One that may pass is tried again, with all behind it, unless one of these took effect. */
  async #settle(wave: readonly Begun[]): Promise<void> {
    const answers = await Promise.all(wave.map(({ outcome }) => outcome));
    const lastDone = answers.findLastIndex((answer) => "value" in answer);
    const again: LinedRequest[] = [];
    for (const [index, { request }] of wave.entries()) {
      const answer = answers[index]!;
      if (!("error" in answer)) continue;
      this.#begun--;
      const mayPass = index > lastDone && answer.error.retryable && this.#mayWait(request, answer.error, again.length === 0);
      // Behind one that is tried again nothing is refused for good yet: it may be another one's turn by then.
      if (mayPass || again.length > 0) again.push(request);
      else if (request.isWanted || index < lastDone || !answer.error.retryable) this.#answer(request, answer);
    }
    if (again.length === 0) return;
    const { error } = answers[wave.findIndex(({ request }) => request === again[0])] as { error: PeykError };
    this.#queue.unshift(...again);
    for (const { bytes } of again) this.bytes += bytes;
    if (again[0]!.isWanted) await this.#rest(error);
  }

  /** Whether a request that was refused for now is tried again. */
  #mayWait({ number, patienceMs, isWanted }: LinedRequest, error: PeykError, isFirst: boolean): boolean {
    // A callback that never settled had its time already.
    if (!isWanted || error instanceof Unanswered) return false;
    if (!isFirst) return true;
    const now = this.#clock.elapsed();
    if (this.#refused?.number !== number) this.#refused = { number, since: now, tries: 0 };
    return now - this.#refused.since < Math.min(PATIENCE_MS, patienceMs);
  }

  async #rest({ retryAfterMs }: PeykError): Promise<void> {
    const pause = retryAfterMs ?? Math.min(PAUSE_MOST_MS, PAUSE_FIRST_MS * 2 ** this.#refused!.tries++);
    await new Promise<void>((resolve) => {
      const end = (): void => {
        this.#clock.clearTimeout(timer);
        this.#pause = undefined;
        resolve();
      };
      const timer = this.#clock.setTimeout(end, pause);
      this.#pause = { timer, end };
    });
  }

  /** The answer to a request that is said again, or can't be acted on any more; undefined: it is to be acted on. */
  #known({ number, what }: LinedRequest): Answer | undefined {
    if (number > this.#last) return undefined;
    const known = this.#answers.find((answer) => answer.number === number);
    if (known !== undefined && known.what !== what) {
      return { error: new PeykError("bad-order", "another request was made under this number", { hint: "Numbers rise by 1." }) };
    }
    return known?.answer ?? { error: outcomeUnknown() };
  }

  #answer(request: LinedRequest, answer: Answer): void {
    const { number, what } = request;
    const isNext = number > this.#last;
    const at = isNext ? this.#answers.length : this.#answers.findLastIndex((other) => other.number < number) + 1;
    this.#answers.splice(at, 0, { number, what, answer });
    if (isNext) this.#last = number;
    while (this.#answers.length > 0 && this.#answers[0]!.number <= this.#last - WINDOW) this.#answers.shift();
    if (this.#refused?.number === number) this.#refused = undefined;
    request.answer(answer);
  }
}

/** It is answered. */
const DONE: Answer = Object.freeze({ value: undefined });

/** Whether the request took effect is not remembered. */
export function outcomeUnknown(): PeykError {
  return new PeykError("outcome-unknown", "a request that was said before, and is not remembered", {
    hint: "It may have taken effect. Look, and make it anew if it did not.",
  });
}

function plain({ code, retryable, retryAfterMs, hint }: PeykError): NonNullable<LineAnswer["error"]> {
  return {
    ...{ code, retryable },
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(hint === undefined ? {} : { hint }),
  };
}
