import { initialTransition, transition } from "xstate";
import type { SnapshotFrom } from "xstate";
import { PeykError } from "../protocol/errors.ts";
import { sessionMachine } from "./machine.ts";
import type { Policy } from "./policy.ts";

/**
 * What can happen to a session, as small integers so that a step is one array access.
 * The names are the machine's; `grace` says that the timer which a step asked for has run out.
 */
export const SessionEvent = {
  "attach.visible": 0,
  "attach.background": 1,
  foreground: 2,
  background: 3,
  "target.some": 4,
  "target.none": 5,
  overdue: 6,
  seen: 7,
  "closed.clean": 8,
  "closed.left": 9,
  "closed.lost": 10,
  drained: 11,
  replaced: 12,
  orphaned: 13,
  signOut: 14,
  grace: 15,
  "message.alert": 16,
  "message.quiet": 17,
  "message.inApp": 18,
  "message.ephemeral": 19,
} as const;

export type SessionEventName = keyof typeof SessionEvent;
/** One of the values of {@link SessionEvent}. */
export type SessionEvent = (typeof SessionEvent)[SessionEventName];

/** A session's state together with its facets, as a small integer. Means something only to the stepper that gave it. */
export type StateId = number;

/** The machine's states by name. */
export type SessionState =
  | "connected.live"
  | "connected.suspect"
  | "backgrounded"
  | "disconnected.recent"
  | "disconnected.away"
  | "signedOut";

/** What becomes of one message at one device. */
export interface Route {
  readonly socket: "deliver" | "none";
  readonly push: "now" | "ifUnseen" | "whenAway" | "coalesced" | "never";
  /** State and message class that led to it, such as `connected.live/alert`; ends in `/no-target` where a push was wanted. */
  readonly rule: string;
  /** The route's place in {@link Stepper.routes}. For counters. */
  readonly index: number;
}

/** What a step asks for, beside its route. */
export type SessionEffect =
  /** Push what is overdue and was held back until then. */
  | "pushOverdue"
  /** Write down that the session is away, then decide about everything that is still undecided. */
  | "decideRest"
  /** Drop the session's pending pushes and targets. */
  | "release"
  /** Step the event `grace` this many milliseconds from now; null: no longer (the timer may have run out already). */
  | { readonly timer: "grace"; readonly ms: number | null };

/** The answer to an event. The same object each time: nothing in it may depend on more than state and event. */
export interface Step {
  readonly next: StateId;
  /** Defined exactly for the message events. */
  readonly route: Route | undefined;
  /** To be carried out in this order. */
  readonly effects: readonly SessionEffect[];
}

/** What a {@link StateId} stands for. */
export interface SessionFacts {
  readonly state: SessionState;
  /** A socket is open: connected or backgrounded. */
  readonly connected: boolean;
  readonly hasTarget: boolean;
}

/** The session machine under one policy, with a memory. */
export interface Stepper {
  /** Away, without a push target: what a session loaded from the store is, until `target.some` and `orphaned` say more. */
  readonly start: StateId;
  step(state: StateId, event: SessionEvent): Step;
  describe(state: StateId): SessionFacts;
  /** Every route met so far, by `index`. Grows as rules are met for the first time. */
  readonly routes: readonly Route[];
}

type Snapshot = SnapshotFrom<typeof sessionMachine>;
type MachineEvent = Parameters<typeof sessionMachine.transition>[1];

const NAMES = Object.keys(SessionEvent) as SessionEventName[];
const EVENTS = NAMES.length;

/** What the machine's actions say about a route's push. */
const PUSHES: Readonly<Record<string, Route["push"]>> = {
  pushNow: "now",
  pushIfUnseen: "ifUnseen",
  pushWhenAway: "whenAway",
  pushCoalesced: "coalesced",
  nowhereToPush: "never",
};

/**
 * Makes the function that says what a session becomes and does when something happens to it. XState computes each answer
 * once; from then on it is looked up. The memory belongs to this stepper and is bounded by the machine: some twenty states
 * times the events.
 */
export function createStepper(policy: Pick<Policy, "graceMs" | "drainWindowMs">): Stepper {
  const snapshots: Snapshot[] = [];
  const facts: SessionFacts[] = [];
  const ids = new Map<string, StateId>();
  const routes: Route[] = [];
  const memo: (Step | undefined)[] = [];

  /** The one id of all snapshots that are alike. */
  function intern(snapshot: Snapshot): StateId {
    const { hasTarget, going } = snapshot.context;
    const state = nameOf(snapshot);
    const key = `${state} ${hasTarget} ${going}`;
    const known = ids.get(key);
    if (known !== undefined) return known;
    const id = snapshots.length;
    ids.set(key, id);
    snapshots.push(snapshot);
    const connected = state === "backgrounded" || state.startsWith("connected.");
    facts.push(Object.freeze({ state, connected, hasTarget }));
    // The memo has no holes, so a look-up stays a plain array access.
    for (let event = 0; event < EVENTS; event++) memo.push(undefined);
    return id;
  }

  /** Asks XState, and remembers. */
  function compute(state: StateId, event: SessionEvent): Step {
    const name = NAMES[event];
    const before = snapshots[state];
    if (name === undefined || before === undefined) {
      throw new PeykError("internal", `no session state ${state} or event ${event}`);
    }
    // An actor that has ended hears nothing any more; the pure function would still answer.
    const [after, actions] = before.status === "active" ? transition(sessionMachine, before, machineEvent(name)) : [before, []];
    let socket: Route["socket"] = "none";
    let push: Route["push"] = "never";
    let rule = `${nameOf(before)}/${name.slice("message.".length)}`;
    const effects: SessionEffect[] = [];
    for (const { type, params } of actions as readonly { type: string; params?: unknown }[]) {
      const wanted = PUSHES[type];
      if (type === "deliver") socket = "deliver";
      else if (wanted !== undefined) push = wanted;
      else effects.push(effectOf(type, params));
      if (type === "nowhereToPush") rule += "/no-target";
    }
    let route: Route | undefined;
    if (name.startsWith("message.")) {
      route = routes.find((known) => known.rule === rule);
      if (route === undefined) routes.push(route = Object.freeze({ socket, push, rule, index: routes.length }));
    }
    return memo[state * EVENTS + event] = Object.freeze({ next: intern(after), route, effects: Object.freeze(effects) });
  }

  const { graceMs, drainWindowMs } = policy;
  const [first] = initialTransition(sessionMachine, { graceMs, drainWindowMs });
  return {
    start: intern(first),
    step: (state, event) => memo[state * EVENTS + event] ?? compute(state, event),
    describe: (state) => facts[state]!,
    routes,
  };
}

/** `connected.live` for `{ connected: "live" }`. */
function nameOf(snapshot: Snapshot): SessionState {
  const { value } = snapshot;
  if (typeof value === "string") return value as SessionState;
  const [parent, child] = Object.entries(value)[0]!;
  return `${parent}.${child}` as SessionState;
}

/** `after` becomes an event of a name that XState makes up; the machine has one. */
function machineEvent(name: SessionEventName): MachineEvent {
  if (name !== "grace") return { type: name };
  return { type: sessionMachine.events.find((type) => type.startsWith("xstate.after.")) } as unknown as MachineEvent;
}

/** Translates what XState would execute into our own words. */
function effectOf(type: string, params: unknown): SessionEffect {
  switch (type) {
    case "pushOverdue":
    case "decideRest":
    case "release":
      return type;
    case "xstate.raise":
      return Object.freeze({ timer: "grace", ms: (params as { delay: number }).delay });
    case "xstate.cancel":
      return Object.freeze({ timer: "grace", ms: null });
    default:
      throw new PeykError("internal", `the session machine has an action "${type}" that nobody carries out`);
  }
}
