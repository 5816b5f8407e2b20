import type { Progress } from "../ports/users.ts";
import type { Feed } from "./feed.ts";
import type { Session } from "./session.ts";

/** One session's place in one topic. */
export class Reader {
  readonly session: Session;
  readonly feed: Feed;
  /** Its place in the feed's list. */
  index = -1;
  epoch: number;
  /** Written to the current connection up to here. */
  sent: number;
  /** The app's handler is done up to here. */
  acked: number;
  /** The last entry that the app's handler gave up on. */
  failed = 0;
  /** The log's head when this connection joined: entries after it were routed as they came. */
  attachedAt: number;
  /** What was decided before this connection: entries up to here are not pushed again. */
  decided: number;
  /** Entries come from the log, not from the live feed: catching up, or the connection is slow. */
  behind = true;
  /** Somebody is reading the log for it right now. */
  reading = false;

  constructor(session: Session, feed: Feed, progress: Progress) {
    this.session = session;
    this.feed = feed;
    this.epoch = progress.epoch;
    this.sent = progress.acked;
    this.acked = progress.acked;
    this.decided = progress.decided;
    this.attachedAt = feed.head.offset;
  }

  /** Up to where nothing about pushing is open, given what is still unseen. */
  decidedUpTo(): number {
    const { session, feed } = this;
    let decided = Math.max(this.decided, this.sent);
    for (const sending of session.unseen) {
      const { entry } = sending;
      if (entry.topic !== feed.topic || entry.position.offset <= this.decided) continue;
      if (session.pushed?.has(sending)) continue;
      decided = Math.max(this.decided, Math.min(decided, entry.previous));
      break;
    }
    return decided;
  }

  /** What the store should know. */
  progress(): Progress {
    return { epoch: this.epoch, acked: this.acked, decided: Math.max(this.acked, this.decidedUpTo()) };
  }

  /** Goes on in another life of the log, or after a hole. */
  restart(epoch: number, offset: number): void {
    this.epoch = epoch;
    this.sent = this.acked = this.decided = offset;
  }
}
