import type { Effect } from "./effects.ts";
import {
  ACK_TIMEOUT_MS,
  type Certainty,
  type Device,
  DRAIN_MS,
  GRACE_MS,
  type Lineage,
  type Link,
  NEAR_MS,
  type Standing,
} from "./known.ts";
import { type Appended, entryKey, type Line } from "./trace.ts";
import { isLow, type Request } from "./requests.ts";
import { Waits } from "./waits.ts";
import type { World } from "./world.ts";

export const COALESCE_MS = 60_000;
export const ELSEWHERE_MS = 5_000;
/** What changes this soon after a decision may have been there before it. */
const DECIDING_MS = 500;
/** Between what happens and what must follow from it. */
export const SLACK_MS = 1_000;

/** What becomes of one message for one device. */
export class Case {
  readonly entry: Appended;
  readonly key: string;
  readonly device: Device;
  readonly lineage: Lineage;
  readonly want: Certainty;
  readonly at: number;
  /** A low urgency. */
  readonly isLow: boolean;
  readonly requests: Request[] = [];
  /** Not due before, and due then at the latest. Infinity: it may be due, or never. */
  early: number;
  late: number;
  doneMaybe: number;
  doneSurely: number;
  why: string;
  /** It left with another one, or did not. */
  coveredMaybe = Infinity;
  #mode: "live" | "low" | "opening" | "recent" | "row" | "seen" | "down" = "row";
  #link: Link | undefined;
  #decidedAt = Infinity;
  #basis: { early: number; late: number } | undefined;
  #elsewhere: Certainty = "no";
  /** What `early` was before it was raised, and when that was. */
  #raised: { early: number; at: number } = { early: Infinity, at: -Infinity };
  /** It came while the device was neither here nor there: it may have been decided about as before. */
  #isVague = false;
  /** A node ended before it had to have left. */
  #isShaken = false;
  #returned: { link: Link; at: number } | undefined;
  readonly #waits = new Waits();

  constructor(entry: Appended, device: Device, lineage: Lineage, want: Certainty, at: number, world: World) {
    this.entry = entry;
    this.key = entryKey(entry);
    this.device = device;
    this.lineage = lineage;
    this.want = want;
    this.at = at;
    this.isLow = isLow(entry);
    this.early = this.late = at;
    this.doneMaybe = this.doneSurely = entry.expiresAt;
    this.why = "expired";
    this.#isShaken = world.isDown;
    this.#place(world.standing(device, at), at, world);
  }

  /** It is done with only because of what the user handled: that may be forgotten. */
  get isByRange(): boolean {
    return this.why.startsWith("handled") || this.why.startsWith("marked");
  }

  /** A provider has said the last word. */
  get isSettled(): boolean {
    const verdict = this.requests.at(-1)?.answer?.verdict;
    return verdict === "sent" || verdict === "rejected" || verdict === "gone";
  }

  /** Surely stands in the outbox by then. */
  isWaiting(at: number): boolean {
    return this.#mode === "row" && this.#decidedAt + DECIDING_MS <= at && this.early <= at && this.late < Infinity;
  }

  /** The earliest that a request at that time may rightly have been due. */
  earlyFor(at: number): number {
    return at - this.#raised.at <= SLACK_MS ? Math.min(this.early, this.#raised.early) : this.early;
  }

  /** Decides what is to be decided by then. Before each line, as the world is until it. */
  elapse(world: World, at: number): void {
    if (this.#mode !== "live" && this.#mode !== "recent") return;
    // Who comes back as the grace ends may still be in time.
    if (this.#decidedAt + (this.#mode === "recent" ? NEAR_MS : 0) > at) return;
    this.#row(this.early, this.late, this.#decidedAt, world);
  }

  done(at: number, surely: boolean, why: string): void {
    this.doneMaybe = Math.min(this.doneMaybe, at);
    if (!surely || at >= this.doneSurely) return;
    this.doneSurely = at;
    this.why = why;
  }

  take({ certainty, device, epoch, link, through, after, topic, until, why }: Effect, at: number): void {
    const { entry } = this;
    if (topic !== entry.topic || entry.offset <= after || entry.offset > through) return;
    if (epoch !== 0 && epoch !== entry.epoch) return;
    if (device !== undefined && device !== this.device) return;
    if (certainty !== "waits") return this.done(at, certainty === "surely", why);
    // Waiting keeps other devices' rows; its own has been shown there.
    if (link!.device === this.device) return;
    this.#waits.add(link!, until!);
    if (this.#isDue(at)) return this.done(at, false, why);
    this.#raise(Math.max(this.early, until!), at);
    this.late = Math.max(this.late, until!);
  }

  /** After the world has taken it in. */
  follow(line: Line, world: World, seen: ReadonlySet<string> | undefined): void {
    const { at } = line;
    if (at <= this.#decidedAt + DECIDING_MS && this.#basis !== undefined) this.#lookAgain(world, at);
    const waited = this.#waits.follow(line, at);
    // A wait that began before it was decided is in its basis.
    if (waited?.isOver) this.early = Math.min(this.early, Math.max(at, Math.min(this.#basis?.early ?? at, this.#raised.early)));
    if (waited?.by !== undefined) {
      this.done(
        at,
        waited.surely && !world.trouble.mayLose(at, this.entry.topic),
        `handled by ${waited.by}, somebody touched it again`,
      );
    }
    if (line.what === "engine") return this.#followNode(line.event, at, world.hasLost);
    if (line.what === "said" && line.frame.type === "failed") return this.#failedElsewhere(line, line.frame, at);
    if (!("device" in line) || line.user !== this.device.user || line.device !== this.device.id) return;
    switch (line.what) {
      case "heard":
        if (line.frame.type === "welcome") this.#welcomed(world.link(line.connection)!, at, world);
        else if (line.frame.type === "message" && entryKey(line.frame) === this.key) {
          this.#brought(world.link(line.connection)!, at);
        }
        return;
      case "said":
        if (seen?.has(this.key)) this.#seen(world.link(line.connection)!, at);
        // In front for a moment only: it may be told as one in the background.
        if (line.frame.type === "state" && !line.presence.visible && this.#mode === "low") this.#open(at);
        if (line.frame.type === "state" && line.presence.visible && this.#mode === "row" && !this.#isDue(at)) {
          // What it brought in the background may be in front now, or be seen in a moment.
          const { link } = this.device;
          if (link?.brought.some(({ key }) => key === this.key)) this.late = Infinity;
        }
        return;
      case "closed":
        return this.#closed(line, at, world);
    }
  }

  #place(standing: Standing, at: number, world: World): void {
    this.#mode = "row";
    switch (standing.kind) {
      case "live":
        this.#link = standing.link;
        if (this.isLow) return this.#never("low");
        this.#mode = "live";
        this.early = this.late = this.#decidedAt = at + ACK_TIMEOUT_MS;
        return;
      case "wavering":
      case "suspect":
        this.#link = standing.link;
        if (this.isLow) return this.#never("low");
        return this.#row(at, standing.kind === "suspect" ? at : Infinity, at, world);
      case "backgrounded":
      case "away":
        return this.#row(at, at, at, world);
      case "recent":
        this.#mode = "recent";
        this.early = standing.early;
        this.late = this.#decidedAt = standing.late;
        return;
      case "opening":
        this.#isVague = true;
        this.#mode = "opening";
        this.early = at;
        this.late = Infinity;
        return;
      case "down":
        this.#isVague = true;
        this.#mode = "down";
        this.early = at;
        this.late = Infinity;
    }
  }

  #row(early: number, late: number, at: number, world: World): void {
    this.#mode = "row";
    this.#decidedAt = at;
    this.early = early;
    this.late = this.isLow ? world.trouble.decidable(late, world.trouble.ofUser(this.device.user)) + COALESCE_MS : late;
    this.#elsewhere = this.isLow ? "no" : world.attendedElsewhere(this.device, at);
    this.#basis = { early: this.early, late: this.late };
    const until = this.at + ELSEWHERE_MS;
    if (this.#elsewhere === "yes") this.early = Math.max(this.early, until);
    if (this.#elsewhere !== "no") this.late = Math.max(this.late, until);
    this.late = Math.max(this.late, this.#waits.until);
  }

  #lookAgain(world: World, at: number): void {
    if (this.isLow || this.#isDue(at)) return;
    const now = world.attendedElsewhere(this.device, at);
    if (now === this.#elsewhere) return;
    this.early = this.#basis!.early;
    this.late = Math.max(this.late, this.at + ELSEWHERE_MS);
  }

  #never(mode: "low" | "seen"): void {
    this.#mode = mode;
    if (this.#isVague) {
      this.late = Infinity;
      return;
    }
    this.early = this.late = Infinity;
  }

  /** From now on it may be due, or never. */
  #open(at: number): void {
    this.#mode = "row";
    this.early = Math.min(this.early, at);
    this.late = Infinity;
  }

  #raise(early: number, at: number): void {
    if (early <= this.early) return;
    this.#raised = { early: this.early, at };
    this.early = early;
  }

  #isDue(at: number): boolean {
    return at > this.late + SLACK_MS;
  }

  #welcomed(link: Link, at: number, world: World): void {
    const mode = this.#mode;
    if (mode === "row" || mode === "seen") return;
    this.#link = link;
    if (link.visible) {
      if (this.isLow) return mode === "opening" || mode === "down" ? this.#open(this.early) : this.#never("low");
      this.#mode = "live";
      // Who may count as away already, or comes back as the grace ends, may have been decided about before.
      const isLate = mode === "recent" && (at > this.#decidedAt - NEAR_MS || this.early < this.late - NEAR_MS);
      if (isLate) this.#isVague = true;
      else if (mode === "live" || mode === "recent") this.early = at + ACK_TIMEOUT_MS;
      // It counts from when the connection brings it.
      this.late = this.#decidedAt = Infinity;
    } else {
      const late = mode === "recent" ? this.late : mode === "live" ? at + ACK_TIMEOUT_MS : at;
      this.#row(mode === "opening" || mode === "down" ? this.early : at, Math.max(at, late), at, world);
    }
  }

  #brought(link: Link, at: number): void {
    if (this.#mode === "live" && this.#link === link && link.visible) {
      this.late = this.#decidedAt = at + ACK_TIMEOUT_MS;
      this.early = Math.min(this.early, this.late);
      if (this.early > this.at + ACK_TIMEOUT_MS) this.early = this.late;
    } else if (this.#mode === "live" && this.#link === link) {
      // Brought when it was hidden already.
      this.early = Math.min(this.early, at);
      this.late = this.#decidedAt = at + ACK_TIMEOUT_MS;
    } else if (link.visible) this.#returned = { link, at };
  }

  #seen(link: Link, at: number): void {
    if (this.#mode === "low") return this.#never("seen");
    // Brought in front, and seen in the background.
    if (this.#mode === "live" && link === this.#link && !link.visible) return this.#open(at);
    if (this.#mode === "live" && link === this.#link) {
      return at < this.#decidedAt - NEAR_MS || this.#decidedAt === Infinity ? this.#never("seen") : this.#open(this.#decidedAt);
    }
    if (this.#mode !== "row" || this.late === Infinity) return;
    // Seen as it became overdue.
    if (link === this.#link && Math.abs(at - this.#decidedAt) <= NEAR_MS) return this.#open(at);
    if (this.#returned?.link !== link) return;
    const inTime = link.visible && at < this.#returned.at + ACK_TIMEOUT_MS - NEAR_MS && at < this.late - NEAR_MS;
    if (inTime && this.requests.length === 0 && this.coveredMaybe === Infinity) this.#never("seen");
    else this.done(at, false, "seen");
  }

  #closed({ connection, code }: Extract<Line, { what: "closed" }>, at: number, world: World): void {
    const { device } = this;
    if (this.#mode === "opening") {
      const { early } = this;
      if (device.opening !== undefined || device.link !== undefined) return;
      this.#place(world.standing(device, at), at, world);
      this.early = early;
    } else if (this.#mode === "recent" && device.link === undefined) {
      // A connection that ended before its welcome may have been a return all the same, and then a leaving.
      const { late } = world.standing(device, at);
      this.early = Math.min(this.early, at);
      this.late = this.#decidedAt = Math.max(this.late, late);
    } else if (this.#mode === "low" && this.#link?.id === connection) this.#open(at);
    else if (this.#mode === "live" && this.#link?.id === connection) {
      const { early } = this;
      // Another connection took its place, or the node ends.
      if (code === 4101 || device.gone.down) {
        return void (this.early = Math.min(early, at), this.late = this.#decidedAt = Infinity);
      }
      if (device.opening !== undefined) return;
      this.#place(world.standing(device, at), at, world);
      if (early < at + NEAR_MS) this.early = Math.min(this.early, early);
    }
  }

  #followNode(event: Extract<Line, { what: "engine" }>["event"], at: number, hasLost: boolean): void {
    if (event === "started") {
      const grace = at + GRACE_MS + DRAIN_MS + SLACK_MS;
      if (this.#mode === "down") {
        this.#mode = "recent";
        this.late = this.#decidedAt = grace;
      } else if (this.#mode === "row" && this.#isShaken && this.late < Infinity) {
        this.late = Math.max(this.late, grace + (this.isLow ? COALESCE_MS : 0));
      }
      this.#isShaken = false;
    } else if (event !== "closed") {
      this.#isShaken ||= this.requests.length === 0 && at <= this.late + 2 * SLACK_MS;
      if (this.#mode === "live" || this.#mode === "opening" || this.#mode === "recent") {
        this.#mode = "down";
        this.early = Math.min(this.early, at);
        this.late = Infinity;
        // What was seen only, nothing was written of.
      } else if (this.#mode === "low" || (this.#mode === "seen" && hasLost)) this.#open(at);
    }
  }

  #failedElsewhere(
    { user, device }: Extract<Line, { what: "said" }>,
    { topic, epoch, offset }: { topic: string; epoch: number; offset: number },
    at: number,
  ): void {
    if (user !== this.device.user || device === this.device.id) return;
    if (entryKey({ topic, epoch, offset }) === this.key && this.#basis !== undefined) this.early = Math.min(this.early, at);
  }
}
