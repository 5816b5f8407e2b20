import type { Clock, Timer } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import type { SessionRecord, UserRecord } from "../ports/users.ts";
import { type UserRecords, withoutDevices } from "./records.ts";
import { withStartsBehind } from "./starts.ts";
import { Turns } from "./turns.ts";

/** So long after it left a temporary device is forgotten, ms. */
export const FORGET_TEMPORARY_AFTER_MS = 3600_000;
/** Between two looks at who is to be forgotten, at least, ms. */
const LOOK_MS = 1_000;
/** Users of whom a device is forgotten at the same time. */
const WIDTH = 16;

/** A user of whom a temporary device left. */
interface Left {
  readonly userId: string;
  /** When it is forgotten, by the monotonic clock. */
  readonly at: number;
}

/** Whether a device counts as gone, though its row may be there still: the node that was to remove it ended before. */
export function isForgotten({ changedAt, node, temporary }: SessionRecord, now: number): boolean {
  return temporary === true && node === null && now - changedAt >= FORGET_TEMPORARY_AFTER_MS;
}

/** The record without the devices that are forgotten, or are to be: the user's next device goes on behind what they have shown. */
export function withoutTemporary(record: UserRecord, isGone: (session: SessionRecord) => boolean): UserRecord {
  const gone = record.sessions.filter(isGone);
  return gone.length === 0 ? record : withoutDevices(withStartsBehind(record, gone), isGone);
}

/** Forgets the temporary devices that left this node, an hour after that. What ends with the node is found when the user's devices are written. */
export class TemporaryDevices {
  readonly #records: UserRecords;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #turns: Turns;
  /** In the order in which they left. */
  readonly #left: Left[] = [];
  #timer: Timer | undefined;
  #closed = false;

  constructor(records: UserRecords, clock: Clock, logger: Logger) {
    this.#records = records;
    this.#clock = clock;
    this.#logger = logger;
    this.#turns = new Turns(WIDTH, clock, records.sections);
  }

  /** One of this user's left, and is stored so. */
  left(userId: string): void {
    if (this.#closed) return;
    this.#left.push({ userId, at: this.#clock.elapsed() + FORGET_TEMPORARY_AFTER_MS });
    this.#timer ??= this.#wait(FORGET_TEMPORARY_AFTER_MS);
  }

  #wait(ms: number): Timer {
    return this.#clock.setTimeout(() => this.#look(), ms);
  }

  #look(): void {
    const now = this.#clock.elapsed();
    const next = this.#left.findIndex(({ at }) => at > now);
    const due = this.#left.splice(0, next < 0 ? this.#left.length : next);
    this.#timer = next < 0 ? undefined : this.#wait(Math.max(LOOK_MS, this.#left[0]!.at - now));
    for (const userId of new Set(due.map(({ userId }) => userId))) void this.#forget(userId);
  }

  async #forget(userId: string): Promise<void> {
    try {
      await this.#turns.run(userId, async () => {
        await this.#records.updateHeld(userId, (record) => {
          const now = this.#clock.now();
          const left = withoutTemporary(record, (session) => isForgotten(session, now));
          // It came back, or was signed out.
          return left === record ? undefined : { record: left };
        });
      });
    } catch (error) {
      this.#logger.warn("a temporary device could not be forgotten: it is with the user's next sign-in", { error });
    }
  }

  /** Resolves when nothing is being forgotten. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#left.length = 0;
    await this.#turns.idle();
  }
}
