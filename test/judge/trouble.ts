import { isPublic, type Topic } from "../../src/protocol/names.ts";
import type { Line } from "./trace.ts";

/** After a call of the store failed, what hung on it may come this much later. */
const STORE_MS = 65_000;
/** After a provider was away, the engine may find out this much later: it asks once a minute, and users with doubtful answers 10 s later. */
const PROVIDER_MS = 75_000;
/** A request without an answer is given up after this. */
const HANG_MS = 30_000;
/** Acks of private topics are written this often, and those of public ones. With the time that a commit takes. */
const WRITTEN_MS = { private: 1_200, public: 10_200 };
/** A write that failed is tried again after this. */
const REWRITE_MS = 2_000;
/** What waits for a record whose writes were late is written this much after the last late one. */
const LATE_MS = 2_000;
/** What could not be written for so long is tried again still. */
const UNWRITTEN_MS = 5_000;

interface Interval {
  readonly begin: number;
  readonly end: number;
}

/** What went wrong in a trace, known beforehand: nobody can be blamed for what could not be done then, or was lost with a node. */
export class Trouble {
  /** When nothing could be decided or written. */
  readonly #store: Interval[] = [];
  readonly #provider: Interval[] = [];
  readonly #failures: number[] = [];
  /** By user: when writes of the record were late, or the user's own provider hung. */
  readonly #users = new Map<string, Interval[]>();
  /** When a node ended, and whether what it had not written is lost with it. */
  readonly #ends: { at: number; closedAt: number; killed: boolean }[] = [];

  constructor(lines: readonly Line[]) {
    let mode = "well";
    let modeSince = 0;
    let down: number | undefined;
    let closing: number | undefined;
    const lags = new Map<string, { at: number; ms: number }>();
    const hangs = new Map<string, number>();
    for (const line of lines) {
      if (line.what === "store") {
        this.#failures.push(line.at);
        this.#store.push({ begin: line.at - 2_000, end: line.at + STORE_MS });
      } else if (line.what === "provider") {
        if (mode !== "well") this.#addOutage(mode, modeSince, line.at);
        mode = line.mode;
        modeSince = line.at;
      } else if (line.what === "lag") {
        const lag = lags.get(line.user);
        if (lag !== undefined) this.#addOfUser(line.user, lag.at, line.at + lag.ms + LATE_MS);
        if (line.ms > 0) lags.set(line.user, line);
        else lags.delete(line.user);
      } else if (line.what === "hangs") {
        const since = hangs.get(line.user);
        if (since !== undefined) this.#addOfUser(line.user, since, line.at + PROVIDER_MS + HANG_MS);
        if (line.isOn) hangs.set(line.user, line.at);
        else hangs.delete(line.user);
      } else if (line.what === "engine") {
        if (line.event === "started") {
          if (down !== undefined) this.#store.push({ begin: down - 1_000, end: line.at + 1_000 });
          down = closing = undefined;
        } else {
          down ??= line.at;
          if (line.event === "closing") closing = line.at;
          else this.#ends.push({ at: closing ?? line.at, closedAt: line.at, killed: line.event === "killed" });
        }
      }
    }
    if (mode !== "well") this.#addOutage(mode, modeSince, Infinity);
    if (down !== undefined) this.#store.push({ begin: down - 1_000, end: Infinity });
  }

  #addOutage(mode: string, begin: number, end: number): void {
    this.#provider.push({ begin: begin - 2_000, end: end + PROVIDER_MS + (mode === "hangs" ? HANG_MS : 0) });
  }

  #addOfUser(user: string, begin: number, end: number): void {
    const intervals = this.#users.get(user) ?? [];
    this.#users.set(user, intervals);
    intervals.push({ begin: begin - 2_000, end });
  }

  /** When nothing of this user's could be written in time, or pushed: others are not excused by it. */
  ofUser(user: string): readonly Interval[] {
    return this.#users.get(user) ?? [];
  }

  /** The first moment from `at` on at which nothing is in the way of a push. @param resting when its target rests */
  free(at: number, resting: readonly Interval[] = []): number {
    return firstOutside(at, [...this.#store, ...this.#provider, ...resting]);
  }

  /** Whether the provider took no pushes at some time between these, or may not have been known to take them. */
  wasAway(from: number, to: number): boolean {
    return this.#provider.some(({ begin, end }) => begin <= to && end >= from);
  }

  /** The first moment from `at` on at which something can be decided. */
  decidable(at: number, ofUser: readonly Interval[] = []): number {
    return firstOutside(at, [...this.#store, ...ofUser]);
  }

  /** Whether what was acked at that time may have been lost with the node that took it in. */
  mayLose(at: number, topic: Topic): boolean {
    const end = this.#ends.find((end) => end.closedAt >= at);
    if (end === undefined) return false;
    let writtenAt = at + (isPublic(topic) ? WRITTEN_MS.public : WRITTEN_MS.private);
    let failed = false;
    for (const failure of this.#failures) {
      if (failure < at || failure > Math.min(writtenAt, end.closedAt)) continue;
      writtenAt = Math.max(writtenAt, failure + REWRITE_MS);
      failed = true;
    }
    if (end.killed) return end.at <= writtenAt;
    // Who closes in order writes everything first, if the store lets him.
    return failed && end.at <= writtenAt;
  }

  /** Whether a node that ends at that time loses what it had not written yet. */
  losesAt(at: number): boolean {
    const end = this.#ends.find((end) => end.closedAt >= at);
    return end === undefined || end.killed ||
      this.#failures.some((failure) => failure >= at - UNWRITTEN_MS && failure <= end.closedAt);
  }

  /** Whether a call of the store failed, or a node ended, between these times. */
  touches(begin: number, end: number): boolean {
    return this.#failures.some((at) => at >= begin && at <= end) ||
      this.#ends.some(({ at, closedAt }) => closedAt >= begin && at <= end);
  }
}

function firstOutside(at: number, intervals: readonly Interval[]): number {
  for (let again = true; again;) {
    again = false;
    for (const { begin, end } of intervals) {
      if (begin > at + 2_000 || end <= at) continue;
      at = end;
      again = true;
    }
  }
  return at;
}
