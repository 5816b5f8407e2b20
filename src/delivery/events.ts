import { PeykError } from "../protocol/errors.ts";
import { type FieldsOf, nearestOf } from "../protocol/fields.ts";
import type { Topic } from "../protocol/names.ts";
import type { Position } from "../protocol/message.ts";
import type { SessionState } from "../session/step.ts";
import { isThenable } from "./deadline.ts";
import type { Note } from "./journal.ts";

/** What became of a message, as the embedding server hears it. */
export interface ReceiptEvent {
  readonly kind: "accepted" | "delivered" | "read" | "dismissed" | "failed";
  readonly id: string;
  readonly topic: Topic;
  readonly position: Position;
  /** Who sent it; undefined: a server's publish that named nobody. */
  readonly from: string | undefined;
  /** Whose device; undefined for "accepted", and for public topics, where `count` speaks. */
  readonly userId: string | undefined;
  readonly device: string | undefined;
  /** How many devices this event stands for. More than 1 only for public topics, which are told about once a second. */
  readonly count: number;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/**
 * A session came into another state. Each node tells of those that it holds: of one that goes on elsewhere, or whose device is another
 * user's now, the node that held it says `disconnected.away`.
 */
export interface SessionChange {
  readonly userId: string;
  readonly device: string;
  readonly state: SessionState;
  readonly at: number;
}

/**
 * A user was subscribed to a topic, or is not any more. Told on the node where that was asked for, once it is stored; of a write that
 * had no answer nobody knows. The own `default`, which comes with the first sign-in, and users who are forgotten are not told of.
 */
export interface SubscriptionChange {
  readonly kind: "subscribed" | "unsubscribed";
  readonly userId: string;
  readonly topic: Topic;
  /** Where it begins; undefined for "unsubscribed". One that begins anew is told of again. */
  readonly begins: Position | undefined;
  /** The device that asked for it; undefined: the server. */
  readonly device: string | undefined;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** Something is wrong with a push service, or well again: for the operator of the server. Each is told once, also to the logger. */
export interface PushServiceEvent {
  readonly provider: string;
  /** What shares a connection, a key and their faults at that provider: see `PushProvider.lane`. */
  readonly lane: string;
  /**
   * - "resting": it takes nothing, or refuses pushes as it is set up. Its pushes wait, one at a time is tried.
   * - "well": it took one, and the others leave. Only after "resting".
   * - "targets-resting": within 10 minutes it found fault with the targets of many users, so that these rest: tokens of another
   *   project or environment, for example. Others get their pushes. Of a service of one's own (`webhook`) the first refusal (HTTP 401,
   *   403) is told.
   * - "targets-gone": within 10 minutes it said of most targets, and those of many users, that they are dead.
   *
   * The last two are told once for as long as they go on, and have no end of their own.
   */
  readonly kind: "resting" | "well" | "targets-resting" | "targets-gone";
  /** What the service answered last; of "well" before that. */
  readonly reason: string;
  /** When that began. Milliseconds since 1970. */
  readonly since: number;
  /** Of the last two how many users have such targets, at least. */
  readonly users: number | undefined;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** The engine's events by name. */
export interface EngineEvents {
  receipt: ReceiptEvent;
  session: SessionChange;
  subscription: SubscriptionChange;
  /** Each line that `explain()` would show for private messages, and the exceptions of public ones, as they happen. */
  note: Note;
  "push-service": PushServiceEvent;
}

const EVENTS: FieldsOf<EngineEvents> = { receipt: true, session: true, subscription: true, note: true, "push-service": true };

/** Listeners by event. A listener that throws, or rejects, stops neither the engine nor the other listeners. */
export class Emitter {
  readonly #listeners = new Map<keyof EngineEvents, Set<(event: never) => void>>();
  readonly #failed: (name: string, error: unknown) => void;

  constructor(failed: (name: string, error: unknown) => void) {
    this.#failed = failed;
  }

  /** @throws {PeykError} `bad-config` for an event that never comes, and a listener that is none */
  on<Name extends keyof EngineEvents>(name: Name, listener: (event: EngineEvents[Name]) => void): () => void {
    if (!Object.hasOwn(EVENTS, name)) throw noEvent(name);
    if (typeof listener !== "function") throw new PeykError("bad-config", `the listener of "${name}" is no function`);
    let listeners = this.#listeners.get(name);
    if (listeners === undefined) this.#listeners.set(name, listeners = new Set());
    listeners.add(listener);
    return () => void this.#listeners.get(name)?.delete(listener);
  }

  /** Whether it is worth making the event. */
  wants(name: keyof EngineEvents): boolean {
    return (this.#listeners.get(name)?.size ?? 0) > 0;
  }

  emit<Name extends keyof EngineEvents>(name: Name, event: EngineEvents[Name]): void {
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        const result = (listener as (event: EngineEvents[Name]) => unknown)(event);
        // An async listener's unhandled rejection ends the process.
        if (isThenable(result)) result.then(undefined, (error: unknown) => this.#failed(name, error));
      } catch (error) {
        this.#failed(name, error);
      }
    }
  }
}

function noEvent(name: unknown): PeykError {
  const nearest = nearestOf(String(name), Object.keys(EVENTS));
  return new PeykError("bad-config", "no event of that name", {
    hint: `${nearest === undefined ? "" : `Did you mean "${nearest}"? `}There are: ${Object.keys(EVENTS).join(", ")}.`,
  });
}
