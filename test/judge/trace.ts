import type { ClientFrame, ServerFrame } from "../../src/protocol/frames.ts";
import type { Urgency } from "../../src/protocol/message.ts";
import type { Topic } from "../../src/protocol/names.ts";
import type { Presence } from "./presence.ts";

/** A message as it went into its log. */
export interface Appended {
  readonly topic: Topic;
  readonly epoch: number;
  readonly offset: number;
  readonly id: string;
  /** The user it is from. */
  readonly from: string | undefined;
  readonly urgency: Urgency;
  /** Kept in the log, never pushed. */
  readonly inApp: boolean;
  /** Monotonic milliseconds. */
  readonly expiresAt: number;
}

/** What a provider was asked. */
export interface Asked {
  /** Names the request. */
  readonly request: number;
  readonly token: string;
  readonly topic: Topic;
  readonly epoch: number;
  readonly offset: number;
  readonly id: string;
  readonly collapseId: string;
  readonly waiting: number;
}

/** What came of it. "nonsense": what is no verdict; "threw": it was thrown. A request without an answer hangs. */
export interface Answered {
  readonly request: number;
  readonly verdict: "sent" | "gone" | "rejected" | "retry" | "threw" | "nonsense";
  readonly afterMs: number | undefined;
}

/** How a connection ended, as the device knows it. */
export type Ending =
  /** The app said goodbye. */
  | "clean"
  /** The app left or reloaded its page, and said goodbye. */
  | "page"
  /** The network took it. */
  | "lost"
  /** The node closed it, or died. */
  | "node";

/** The frames of a server that say something about pushes. */
export type Heard =
  | Extract<ServerFrame, { type: "welcome" | "ok" | "error" | "subscribed" | "unsubscribed" | "gap" | "advance" }>
  | { type: "message"; topic: Topic; epoch: number; offset: number; previous: number };

/** What an idle user waits for: its welcome, a message over its connection, a push of one at a device that is away or open in the background. */
export const OPERATIONS = ["welcome", "frame", "push, away", "push, background"] as const;
export type OperationKind = (typeof OPERATIONS)[number];

interface Of {
  readonly user: string;
  readonly device: string;
  /** Counts the connections of the whole trace. */
  readonly connection: number;
}

/** One thing that happened, as it is seen from outside of the engine. */
export type Happening =
  | Of & { what: "said"; frame: ClientFrame; presence: Presence }
  | Of & { what: "heard"; frame: Heard }
  | Of & { what: "closed"; ending: Ending; code?: number | undefined }
  /** The person touches the device. It may tell, or not. */
  | { what: "input"; user: string; device: string }
  | { what: "appended"; entry: Appended }
  | { what: "asked"; ask: Asked }
  | { what: "answered"; answer: Answered }
  /** The embedding server calls; `done` follows, or not. */
  | { what: "call"; call: number; name: "subscribe" | "unsubscribe" | "revoke"; user: string; topic: Topic | undefined }
  | { what: "done"; call: number; ok: boolean }
  /** A call of the store failed; whether it took effect all the same. */
  | { what: "store"; call: string; applied: boolean }
  /** How the provider of most devices answers from now on. */
  | { what: "provider"; mode: string }
  /** From now on writes of this user's record take that much longer, or this user's own provider hangs. */
  | { what: "lag"; user: string; ms: number }
  | { what: "hangs"; user: string; isOn: boolean }
  /** A user who makes load begins, and goes on for so long. */
  | { what: "load"; name: string; ms: number }
  /** An idle user's operation begins at that device; `id` names the message that it is about. */
  | { what: "operation"; kind: OperationKind; user: string; device: string; id: string | undefined }
  /** "closing": in order, from here on it takes nothing in. */
  | { what: "engine"; event: "started" | "closing" | "closed" | "killed" };

/** A happening and when. */
export type Line = { readonly at: number } & Happening;

/** Writes down what happens. */
export class Trace {
  readonly lines: Line[] = [];
  readonly #elapsed: () => number;

  /** @param elapsed monotonic virtual milliseconds */
  constructor(elapsed: () => number) {
    this.#elapsed = elapsed;
  }

  note(happening: Happening): void {
    this.lines.push({ at: this.#elapsed(), ...happening });
  }
}

/** Names one message of all. */
export function entryKey({ topic, epoch, offset }: { topic: Topic; epoch: number; offset: number }): string {
  return `${topic} ${epoch}.${offset}`;
}
