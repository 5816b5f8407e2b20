import { expect, test } from "vitest";
import { createActor, SimulatedClock } from "xstate";
import type { AnyStateNode } from "xstate";
import { sessionMachine } from "../../src/session/machine.ts";
import { createStepper, SessionEvent } from "../../src/session/step.ts";
import type { SessionEventName, Stepper } from "../../src/session/step.ts";

const SEEDS = 1_200;
const EVENTS = 200;

/** Their graces differ, so that one policy's answers can't pass for another's. Zero is a grace, too. */
const POLICIES = [
  { graceMs: 15_000, drainWindowMs: 5_000 },
  { graceMs: 1_000, drainWindowMs: 0 },
  { graceMs: 0, drainWindowMs: 7_000 },
  { graceMs: 0, drainWindowMs: 0 },
];
type Graces = (typeof POLICIES)[number];

/** What the machine's words for a route's push mean. */
const PUSH: Readonly<Record<string, string>> = {
  pushNow: "now",
  pushIfUnseen: "ifUnseen",
  pushWhenAway: "whenAway",
  pushCoalesced: "coalesced",
  nowhereToPush: "never",
};
const EFFECTS = ["pushOverdue", "decideRest", "release"];

type Move = SessionEventName | { readonly wait: number };
/** What one move did, put so that two of them can be compared: state and facets, then effects, route, pending timers. */
type Trace = string;

const MESSAGES: readonly SessionEventName[] = ["message.alert", "message.quiet", "message.inApp", "message.ephemeral"];
const CHANGES = (Object.keys(SessionEvent) as SessionEventName[]).filter((name) => {
  return name !== "grace" && name !== "signOut" && !MESSAGES.includes(name);
});

/** mulberry32 */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Rarely the end; sometimes time, by steps that often land exactly on a grace; else whatever can happen. */
function movesOf(seed: number): Move[] {
  const random = randomOf(seed);
  const oneOf = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  return Array.from({ length: EVENTS }, () => {
    const kind = random();
    if (kind < 0.003) return "signOut";
    if (kind < 0.2) return { wait: oneOf([0, 1, 499, 500, 1_000, 5_000, 7_000, 15_000, 30_000]) };
    return kind < 0.3 ? oneOf(MESSAGES) : oneOf(CHANGES);
  });
}

/** XState's own actor, carrying out its own actions and its own timers. */
class Clock extends SimulatedClock {
  readonly pending = new Map<number, number>();

  override setTimeout(task: () => void, ms: number): number {
    const id = super.setTimeout(() => {
      this.pending.delete(id);
      task();
    }, ms);
    this.pending.set(id, this.now() + ms);
    return id;
  }

  override clearTimeout(id: number): void {
    this.pending.delete(id);
    super.clearTimeout(id);
  }
}

let told: string[] = [];
const recorded = sessionMachine.provide({
  actions: Object.fromEntries(["deliver", ...Object.keys(PUSH), ...EFFECTS].map((name) => [name, () => void told.push(name)])),
});
const visitedStates = new Set<string>();
const visitedTransitions = new Set<object>();

function* actorWalk(moves: readonly Move[], graces: Graces): Generator<Trace> {
  const clock = new Clock();
  const actor = createActor(recorded, {
    input: graces,
    clock,
    inspect: (happened) => {
      if (happened.type === "@xstate.microstep") { for (const taken of happened._transitions) visitedTransitions.add(taken); }
    },
  });
  actor.start();
  for (const move of moves) {
    told = [];
    if (typeof move === "object") clock.increment(move.wait);
    // A stopped actor ignores what it is sent, after saying so on the console.
    else if (actor.getSnapshot().status === "active") actor.send({ type: move as Exclude<SessionEventName, "grace"> });
    const { value, context, _nodes } = actor.getSnapshot();
    for (const node of _nodes) visitedStates.add(node.id);
    const state = typeof value === "string" ? value : Object.entries(value).flat().join(".");
    const route = typeof move === "string" && MESSAGES.includes(move)
      ? `${told.includes("deliver") ? "deliver" : "none"} ${told.map((name) => PUSH[name]).find(Boolean) ?? "never"}`
      : "";
    const effects = told.filter((name) => EFFECTS.includes(name));
    yield traceOf(state, context, effects, route, [...clock.pending.values()]);
  }
  actor.stop();
}

/** The memoized step, with timers as the engine keeps them. */
function* stepWalk(moves: readonly Move[], stepper: Stepper): Generator<Trace> {
  let at = stepper.start;
  let now = 0;
  const pending: number[] = [];
  let effects: string[] = [];
  const happen = (name: SessionEventName) => {
    const step = stepper.step(at, SessionEvent[name]);
    at = step.next;
    for (const effect of step.effects) {
      if (typeof effect === "string") effects.push(effect);
      else if (effect.ms === null) pending.shift();
      else pending.push(now + effect.ms);
    }
    return step.route;
  };
  for (const move of moves) {
    effects = [];
    let route = "";
    if (typeof move === "string") {
      const chosen = happen(move);
      if (chosen !== undefined) route = `${chosen.socket} ${chosen.push}`;
    } else {
      const end = now + move.wait;
      while (pending.length > 0 && pending[0]! <= end) {
        now = pending.shift()!;
        happen("grace");
      }
      now = end;
    }
    const { state, hasTarget } = stepper.describe(at);
    yield traceOf(state, { hasTarget }, effects, route, pending);
  }
}

function traceOf(
  state: string,
  facets: { hasTarget: boolean },
  effects: readonly string[],
  route: string,
  pending: readonly number[],
): Trace {
  const timers = pending.toSorted((a, b) => a - b).join(" ");
  return `${state} target=${facets.hasTarget} | ${effects.join(" ")} | ${route} | grace at ${timers}`;
}

test(`the memoized step and a real actor never differ (${SEEDS} seeds, ${EVENTS} events each)`, () => {
  const steppers = POLICIES.map((policy) => createStepper(policy));
  let graces = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const moves = movesOf(seed);
    const which = seed % POLICIES.length;
    const remembered = stepWalk(moves, steppers[which]!);
    let number = 0;
    for (const real of actorWalk(moves, POLICIES[which]!)) {
      const ours = remembered.next().value as Trace;
      if (ours !== real) {
        const way = moves.slice(Math.max(0, number - 5), number + 1);
        expect.fail(
          `seed ${seed}, event ${number}\n  ${
            way.map((move) => JSON.stringify(move)).join(", ")
          }\n  actor: ${real}\n  step:  ${ours}`,
        );
      }
      if (typeof moves[number] === "object" && real.includes("decideRest")) graces++;
      number++;
    }
    expect(number).toBe(EVENTS);
  }
  // Else the walk would not have been about time at all.
  expect(graces).toBeGreaterThan(SEEDS);
});

test("that walk was in every state of the machine and took every one of its transitions", () => {
  const nodes = nodesUnder(recorded.root);
  const missing = nodes.filter((node) => !visitedStates.has(node.id)).map((node) => node.id);
  for (const node of nodes) {
    for (const transition of [...node.transitions.values()].flat()) {
      if (!visitedTransitions.has(transition)) {
        missing.push(
          `${node.id}: ${transition.eventType} → ${transition.target?.map((target) => target.id).join() ?? "(stays)"}`,
        );
      }
    }
  }
  expect(missing).toEqual([]);
  expect(nodes.length).toBeGreaterThan(6);
});

function nodesUnder(node: AnyStateNode): AnyStateNode[] {
  return [node, ...Object.values(node.states).flatMap(nodesUnder)];
}
