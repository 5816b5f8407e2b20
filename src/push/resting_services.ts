import type { Clock } from "../ports/clock.ts";
import type { PushResult } from "../ports/push_provider.ts";
import type { Random } from "../ports/random.ts";
import type { Alarms } from "./alarms.ts";
import { isTaken } from "./verdict.ts";

/** What is told of a push that waits for its service. */
export const SERVICE_RESTS = "its push service does not take pushes: waits for one that it takes";

/** Users with replies that anybody's fault may be, one after the other, after which it is the service's. */
const DOUBTED_USERS = 3;
/** A service that rests is asked with one push so often. */
const PROBE_MS = 60_000;
/** A user whose own reply may be to blame leaves the probe to others for so long. */
const BEHIND_MS = 10_000;
const FIRST_REST_MS = 1_000;
/** Whatever a service says, it is asked again within this time. */
const LAST_REST_MS = 3_600_000;
/** Rests in a row after which it is more than a hiccup. */
const ALARM_AFTER = 3;
/** Pushes of one service under way at the same time: what it does not answer is not asked without end. */
const MOST_UNDER_WAY = 384;
/** Services that rest or are doubted, and doubted users of one, at most. Of more those are forgotten that came first. */
const REMEMBERED = 1_000;

/** What shares a connection, a pace and its faults: a provider's lane. */
export interface Service {
  readonly provider: string;
  readonly lane: string;
}

/** A push service that is asked with one push at a time, and all others wait. */
export interface RestingPushService extends Service {
  /** When it began to rest. Milliseconds since 1970. */
  readonly since: number;
  /** When one push is tried: the next that is due then. Milliseconds since 1970. */
  readonly until: number;
  /** What it answered last. */
  readonly reason: string;
}

/** A service that rests, or whose last replies leave it open. */
interface Doubt {
  readonly service: Service;
  /** When it began to rest. */
  since: number;
  reason: string;
  /** Nothing is asked before then. Milliseconds since 1970; 0: it does not rest. */
  until: number;
  /** Rests in a row. */
  rests: number;
  isProbing: boolean;
  isTold: boolean;
  /** Users whose replies may be their own targets' fault. */
  readonly users: Set<string>;
}

/**
 * Services that take nothing from anybody: with a scope of "service" a reply says so by itself, with "unclear", or where no answer
 * came in time, after three different users got one and nothing was taken in between. Then one push at a time is a probe, and all
 * others wait for its answer.
 *
 * Each node goes by what it hears itself.
 */
export class RestingServices {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #alarms: Alarms;
  readonly #doubts = new Map<string, Doubt>();
  /** How many pushes each service was asked to take and has not answered. */
  readonly #underWay = new Map<string, number>();

  constructor(clock: Clock, random: Random, alarms: Alarms) {
    this.#clock = clock;
    this.#random = random;
    this.#alarms = alarms;
  }

  /** Those that rest. */
  list(): RestingPushService[] {
    const resting: RestingPushService[] = [];
    for (const { service, since, until, reason } of this.#doubts.values()) {
      if (until !== 0) resting.push({ ...service, since, until, reason });
    }
    return resting;
  }

  /** When a service that rests is to be asked again, milliseconds since 1970; undefined: it does not rest. */
  restsUntil(service: Service): number | undefined {
    return this.#doubts.get(keyOf(service))?.until || undefined;
  }

  /** How many more pushes a service may have under way. */
  room(service: Service): number {
    return MOST_UNDER_WAY - (this.#underWay.get(keyOf(service)) ?? 0);
  }

  /** Whether a push of this user may leave: the service takes pushes, or it is time for a probe. */
  mayAsk(service: Service, userId: string): boolean {
    if (this.room(service) <= 0) return false;
    const doubt = this.#doubts.get(keyOf(service));
    if (doubt === undefined || doubt.until === 0) return true;
    return !doubt.isProbing && this.#clock.now() >= doubt.until + (doubt.users.has(userId) ? BEHIND_MS : 0);
  }

  /**
   * A push of this user leaves, if it may.
   * @returns what the answer is to be told to, or that there was none in time; undefined: it may not leave
   */
  ask(service: Service, userId: string): ((result: PushResult, isAnswered?: boolean) => void) | undefined {
    if (!this.mayAsk(service, userId)) return undefined;
    const key = keyOf(service);
    this.#underWay.set(key, (this.#underWay.get(key) ?? 0) + 1);
    const doubt = this.#doubts.get(key);
    const isProbe = doubt !== undefined && doubt.until !== 0;
    if (isProbe) doubt.isProbing = true;
    return (result, isAnswered = true) => {
      const left = this.#underWay.get(key)! - 1;
      if (left > 0) this.#underWay.set(key, left);
      else this.#underWay.delete(key);
      this.#heard(service, userId, result, isProbe, isAnswered);
    };
  }

  #heard(service: Service, userId: string, result: PushResult, isProbe: boolean, isAnswered: boolean): void {
    const doubt = this.#doubts.get(keyOf(service));
    if (isProbe && doubt !== undefined) doubt.isProbing = false;
    // Of one that takes nothing it is known why its targets rest.
    if (doubt?.isTold !== true) this.#alarms.heard(service, userId, result);
    // One target's address may be at fault.
    if (!isAnswered) return this.#doubt(service, userId, result, isProbe);
    const scope = "scope" in result ? result.scope : undefined;
    if (scope === "service") return this.#failed(service, result, isProbe);
    if (scope === "unclear") return this.#doubt(service, userId, result, isProbe);
    // Who finds fault with one target or notification takes others.
    const isWell = isTaken(result) || (isProbe && result.verdict !== "retry");
    if (doubt === undefined) return;
    if (!isWell) {
      if (isProbe) this.#rest(doubt, PROBE_MS, result);
      return;
    }
    this.#doubts.delete(keyOf(service));
    if (doubt.isTold) this.#alarms.isWell(service, doubt.since, doubt.reason);
  }

  #failed(service: Service, result: PushResult, isProbe: boolean): void {
    const doubt = this.#find(service);
    const said = "afterMs" in result && (result.afterMs ?? NaN) > 0 ? Math.min(result.afterMs!, LAST_REST_MS) : 0;
    // Of what was under way when it began to rest nothing is learnt but a later time.
    if (doubt.until !== 0 && !isProbe) {
      doubt.until = Math.max(doubt.until, this.#clock.now() + said);
      return;
    }
    const backoff = Math.min(FIRST_REST_MS * 2 ** doubt.rests, PROBE_MS) * (0.5 + this.#random.fraction() / 2);
    this.#rest(doubt, said > 0 ? Math.max(said, FIRST_REST_MS) : backoff, result);
    // What was refused for good is lost: the operator is to look at the settings now, not after more of them.
    if (result.verdict === "rejected") this.#tell(doubt);
  }

  #doubt(service: Service, userId: string, result: PushResult, isProbe: boolean): void {
    const doubt = this.#find(service);
    doubt.users.delete(userId);
    doubt.users.add(userId);
    if (doubt.users.size > REMEMBERED) doubt.users.delete(doubt.users.values().next().value!);
    if (isProbe || (doubt.until === 0 && doubt.users.size >= DOUBTED_USERS)) this.#rest(doubt, PROBE_MS, result);
  }

  #rest(doubt: Doubt, ms: number, result: PushResult): void {
    const now = this.#clock.now();
    if (doubt.rests === 0) doubt.since = now;
    if ("reason" in result) doubt.reason = result.reason;
    doubt.until = now + Math.ceil(ms);
    doubt.rests++;
    if (doubt.rests >= ALARM_AFTER || ms >= PROBE_MS) this.#tell(doubt);
  }

  /** It is more than a hiccup: said once. */
  #tell(doubt: Doubt): void {
    if (doubt.isTold) return;
    doubt.isTold = true;
    this.#alarms.rests(doubt.service, doubt.since, doubt.reason);
  }

  #find(service: Service): Doubt {
    const key = keyOf(service);
    const known = this.#doubts.get(key);
    if (known !== undefined) return known;
    const doubt = {
      ...{ service, since: 0, reason: "", until: 0, rests: 0 },
      ...{ isProbing: false, isTold: false, users: new Set<string>() },
    };
    this.#doubts.set(key, doubt);
    if (this.#doubts.size > REMEMBERED) this.#doubts.delete(this.#doubts.keys().next().value!);
    return doubt;
  }
}

function keyOf({ lane, provider }: Service): string {
  return `${provider}\n${lane}`;
}
