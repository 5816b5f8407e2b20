import type { Lease } from "../delivery/lease.ts";
import type { Clock } from "../ports/clock.ts";
import type { OutboxRow } from "../ports/outbox.ts";
import { NOT_ASKED } from "./pending.ts";
import { waitsForTarget } from "./resting.ts";
import { type RestingServices, type Service, SERVICE_RESTS } from "./resting_services.ts";

/** Targets that are remembered. What waits for others comes up by itself when the time is over that it was put off for. */
const REMEMBERED = 50_000;
/** What waits is put off for as long as its service has rested by then, between these times. */
const LEAST_MS = 5_000;
const MOST_MS = 600_000;
/** Pushes a second that leave for what has waited, of all nodes together: at first, and after {@link RAMP_MS}. */
const FIRST_RATE = 100;
const LAST_RATE = 1_000;
const RAMP_MS = 60_000;
/** Of the pushes that a service may have under way so many are left to what is new. */
const KEPT_FREE = 96;
/** How often some of them leave. */
const TURN_MS = 100;
/** While a probe is under way it is looked again after this time. */
const LOOK_AGAIN_MS = 1_000;
/** Targets that are passed over in one turn at most. */
const MOST_PASSED = 1_000;
/** A push that failed is tried again within this time. */
export const LAST_BACKOFF_MS = 60_000;
/** How the note of a row begins whose provider asked for a pause. */
export const SAID = "asked to wait: ";
/** What is tried anew waits for no service. */
const TRIED_ANEW = "\n";

/** The note of a row that waits for its service. */
export const WAITS_FOR_SERVICE: string = NOT_ASKED + SERVICE_RESTS;

/** A target for which pushes wait. */
export type Waiting = Pick<OutboxRow, "provider" | "targetId" | "userId">;

/** The targets that wait for one service. */
interface Line {
  readonly service: Service;
  /** Each with its user. Those whose turn was the longest ago come first. */
  readonly targets: Map<string, string>;
  /** When the first one came, since the service rests. Monotonic milliseconds, as all times here. */
  since: number;
  /** Since when the service takes pushes again; undefined: it rests. */
  openSince: number | undefined;
  /** When the last turn was, and what its rate left over: a part of a push. */
  turnAt: number;
  rest: number;
}

/**
 * The targets whose pushes wait for their service. While it rests their rows are put off, many in one write and for long, and not
 * looked at. When it takes pushes again the targets have their turns, one push for all that may leave together, at a rate that grows
 * within a minute; what is new for other targets need not wait for them.
 */
export class Backlog {
  readonly #services: RestingServices;
  readonly #lease: Lease;
  readonly #clock: Clock;
  readonly #lines = new Map<string, Line>();
  readonly #lineOf = new Map<string, Line>();

  constructor(services: RestingServices, lease: Lease, clock: Clock) {
    this.#services = services;
    this.#lease = lease;
    this.#clock = clock;
  }

  /**
   * A push can't leave for its service does not take any.
   * @returns until when what waits for the target is put off, milliseconds since 1970: its turn may come sooner
   */
  add(service: Service, target: Waiting): number {
    const now = this.#clock.elapsed();
    const since = this.#join(service, target)?.since ?? now;
    return this.#clock.now() + Math.min(Math.max(now - since, LEAST_MS), MOST_MS);
  }

  /** Rows from before this node began: what was put off need not wait that long, unless its provider asked for it. */
  restored(rows: readonly OutboxRow[]): void {
    const soon = this.#clock.now() + LAST_BACKOFF_MS;
    for (const row of rows) {
      // Of what was asked for the note says what was answered, not that it waits for its service.
      const isPutOff = row.attempts > 0 && row.dueAt > soon && row.note?.startsWith(SAID) !== true;
      if (isPutOff || row.note === WAITS_FOR_SERVICE) this.tryAnew(row);
    }
  }

  /** What waits for a target may be tried sooner than it was put off for. */
  tryAnew(target: Waiting): void {
    this.done(target.targetId);
    this.#join({ provider: target.provider, lane: TRIED_ANEW }, target);
  }

  /** What a target waits for; undefined: it does not wait here. */
  serviceOf(targetId: string): Service | undefined {
    return this.#lineOf.get(targetId)?.service;
  }

  /** Nothing waits for a target any more. */
  done(targetId: string): void {
    const line = this.#lineOf.get(targetId);
    if (line === undefined) return;
    this.#lineOf.delete(targetId);
    line.targets.delete(targetId);
    if (line.targets.size === 0) this.#lines.delete(keyOf(line.service));
  }

  /**
   * Targets of a provider whose turn it is, each with its user. They wait until they are done.
   * @param most so many
   * @param mayLeave whether a push may leave for a target, apart from its service
   */
  turns(provider: string, most: number, mayLeave: (userId: string, targetId: string) => boolean): Map<string, string> {
    const chosen = new Map<string, string>();
    for (const line of this.#lines.values()) {
      if (line.service.provider !== provider) continue;
      let left = Math.min(this.#mayLeave(line), most - chosen.size);
      const passed: [targetId: string, userId: string][] = [];
      for (const [targetId, userId] of line.targets) {
        if (left < 1 || passed.length >= MOST_PASSED) break;
        passed.push([targetId, userId]);
        if (!this.#services.mayAsk(line.service, userId) || !mayLeave(userId, targetId)) continue;
        chosen.set(targetId, userId);
        left--;
        if (line.openSince !== undefined) line.rest--;
      }
      for (const [targetId, userId] of passed) {
        line.targets.delete(targetId);
        line.targets.set(targetId, userId);
      }
    }
    return chosen;
  }

  /** When a turn may come for targets of a provider, milliseconds since 1970; undefined: none waits. */
  nextTurnAt(provider: string): number | undefined {
    const now = this.#clock.now();
    let first: number | undefined;
    for (const { service } of this.#lines.values()) {
      if (service.provider !== provider) continue;
      const until = this.#services.restsUntil(service);
      const at = until === undefined ? now + TURN_MS : until > now ? until : now + LOOK_AGAIN_MS;
      first = Math.min(first ?? at, at);
    }
    return first;
  }

  /** How many targets of a line may have their turn now. */
  #mayLeave(line: Line): number {
    const now = this.#clock.elapsed();
    this.#look(line);
    const { openSince, service, turnAt } = line;
    // No user has an empty id: whether any push may leave is asked.
    if (now - turnAt < (openSince === undefined ? LOOK_AGAIN_MS : TURN_MS) || !this.#services.mayAsk(service, "")) return 0;
    line.turnAt = now;
    if (openSince === undefined) return 1;
    const share = Math.min(1, (now - openSince) / RAMP_MS);
    const rate = (FIRST_RATE + (LAST_RATE - FIRST_RATE) * share) / this.#lease.nodes;
    // What could not leave in time is not made up for.
    line.rest = line.rest % 1 + rate * Math.min(now - turnAt, TURN_MS) / 1_000;
    return Math.min(Math.floor(line.rest), Math.max(1, this.#services.room(service) - KEPT_FREE));
  }

  /** Whether the service has begun to rest, or to take pushes again. */
  #look(line: Line): void {
    const now = this.#clock.elapsed();
    const rests = this.#services.restsUntil(line.service) !== undefined;
    if (rests === (line.openSince === undefined)) return;
    if (rests) line.since = now;
    line.openSince = rests ? undefined : now;
    line.turnAt = -Infinity;
    line.rest = 0;
  }

  /** @returns undefined: it is not remembered */
  #join(service: Service, { targetId, userId }: Waiting): Line | undefined {
    const known = this.#lineOf.get(targetId);
    if (known !== undefined) return known;
    const key = keyOf(service);
    let line = this.#lines.get(key);
    if (this.#lineOf.size >= REMEMBERED) return line;
    const since = this.#clock.elapsed();
    line ??= { service, targets: new Map(), since, openSince: undefined, turnAt: -Infinity, rest: 0 };
    this.#lines.set(key, line);
    this.#look(line);
    line.targets.set(targetId, userId);
    this.#lineOf.set(targetId, line);
    return line;
  }
}

/** Whether a row may leave before it is due: it was put off though it was due once. */
export function wasPutOff(row: OutboxRow): boolean {
  return row.attempts > 0 || row.note === WAITS_FOR_SERVICE || waitsForTarget(row);
}

function keyOf({ lane, provider }: Service): string {
  return `${provider}\n${lane}`;
}
