import type { Emitter, PushServiceEvent } from "../delivery/events.ts";
import type { Clock } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import type { PushResult } from "../ports/push_provider.ts";
import { Bursts } from "./bursts.ts";

type Service = Pick<PushServiceEvent, "provider" | "lane">;

/** Tells the operator, by the logger and as an event, what is wrong with push services: once, not for each push. */
export class Alarms {
  readonly #clock: Clock;
  readonly #emitter: Emitter;
  readonly #logger: Logger;
  readonly #bursts: Readonly<Record<keyof typeof MANY, Bursts>>;
  readonly #refusals: Bursts;

  constructor(clock: Clock, emitter: Emitter, logger: Logger) {
    this.#clock = clock;
    this.#emitter = emitter;
    this.#logger = logger;
    this.#bursts = {
      // After a while without pushes many targets are found dead, and nothing is wrong. But not most of them.
      "targets-gone": new Bursts({ users: 50, share: 0.5 }, clock),
      "targets-resting": new Bursts({ users: 10, share: 0 }, clock),
    };
    this.#refusals = new Bursts({ users: 1, share: 0 }, clock);
  }

  /** It takes nothing. @param since when it began to rest, milliseconds since 1970 */
  rests(service: Service, since: number, reason: string): void {
    this.#logger.error("a push service takes nothing: its pushes wait, one at a time is tried", { ...service, reason });
    this.#emit({ ...service, kind: "resting", reason, since, users: undefined });
  }

  /** It takes pushes again. */
  isWell(service: Service, since: number, reason: string): void {
    this.#logger.info("a push service takes pushes again", { ...service });
    this.#emit({ ...service, kind: "well", reason, since, users: undefined });
  }

  /** A service answered a push of this user. */
  heard(service: Service, userId: string, result: PushResult): void {
    if (result.verdict === "gone") return this.#count(service, "targets-gone", userId, result.reason);
    this.#bursts["targets-gone"].spared(keyOf(service));
    if ("alarm" in result) return this.#refused(service, userId, result.reason);
    const isUnclear = "scope" in result && result.scope === "unclear";
    if (isUnclear) this.#count(service, "targets-resting", userId, result.reason);
  }

  /** The service is the operator's own, and so is what it refuses: the first one tells, then it is quiet for as long as that goes on. */
  #refused(service: Service, userId: string, reason: string): void {
    const burst = this.#refusals.hit(keyOf(service), userId);
    if (burst === undefined) return;
    const hint = "Compare the secret on both sides, and look at the clocks.";
    this.#logger.error("a push service refuses pushes: their targets rest, and the pushes wait", { ...service, reason, hint });
    this.#emit({ ...service, kind: "targets-resting", reason, ...burst });
  }

  #count(service: Service, kind: keyof typeof MANY, userId: string, reason: string): void {
    const burst = this.#bursts[kind].hit(keyOf(service), userId);
    if (burst === undefined) return;
    const { since, users } = burst;
    this.#logger.error(MANY[kind], { ...service, users, reason });
    this.#emit({ ...service, kind, reason, since, users });
  }

  #emit(event: Omit<PushServiceEvent, "at">): void {
    this.#emitter.emit("push-service", { ...event, at: this.#clock.now() });
  }
}

const MANY = {
  "targets-gone": "a push service says of many users' targets that they are dead",
  "targets-resting": "a push service finds fault with many users' targets: they rest",
} as const;

function keyOf({ lane, provider }: Service): string {
  return `${provider}\n${lane}`;
}
