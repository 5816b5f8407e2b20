import { describe, expect, test } from "vitest";
import { DEFAULT_POLICY } from "../../src/session/policy.ts";
import { createStepper, SessionEvent } from "../../src/session/step.ts";
import type { Route, SessionEventName, SessionState, StateId, Stepper } from "../../src/session/step.ts";

/** How to come into each state from `start`. */
const WAYS: Readonly<Record<SessionState, readonly SessionEventName[]>> = {
  "connected.live": ["attach.visible"],
  "connected.suspect": ["attach.visible", "overdue"],
  backgrounded: ["attach.background"],
  "disconnected.recent": ["orphaned"],
  "disconnected.away": [],
  signedOut: ["signOut"],
};

type Cell = readonly [Route["socket"], Route["push"]];

/** DESIGN.md section 3, cell by cell. */
const ROUTES: Readonly<Record<SessionState, Readonly<Record<"alert" | "quiet" | "inApp" | "ephemeral", Cell>>>> = {
  "connected.live": {
    alert: ["deliver", "ifUnseen"],
    quiet: ["deliver", "never"],
    inApp: ["deliver", "never"],
    ephemeral: ["deliver", "never"],
  },
  "connected.suspect": {
    alert: ["deliver", "now"],
    quiet: ["deliver", "never"],
    inApp: ["deliver", "never"],
    ephemeral: ["deliver", "never"],
  },
  backgrounded: {
    alert: ["deliver", "now"],
    quiet: ["deliver", "coalesced"],
    inApp: ["deliver", "never"],
    ephemeral: ["deliver", "never"],
  },
  "disconnected.recent": {
    alert: ["none", "whenAway"],
    quiet: ["none", "whenAway"],
    inApp: ["none", "never"],
    ephemeral: ["none", "never"],
  },
  "disconnected.away": {
    alert: ["none", "now"],
    quiet: ["none", "coalesced"],
    inApp: ["none", "never"],
    ephemeral: ["none", "never"],
  },
  signedOut: {
    alert: ["none", "never"],
    quiet: ["none", "never"],
    inApp: ["none", "never"],
    ephemeral: ["none", "never"],
  },
};

const CELLS = Object.entries(ROUTES).flatMap(([state, row]) =>
  Object.entries(row).map(([kind, [socket, push]]) => ({ state: state as SessionState, kind, socket, push }))
);

function reach(stepper: Stepper, ...events: readonly SessionEventName[]): StateId {
  return events.reduce<StateId>((state, event) => stepper.step(state, SessionEvent[event]).next, stepper.start);
}

describe.each(CELLS)("$state, message.$kind", ({ state, kind, socket, push }) => {
  const event = SessionEvent[`message.${kind}` as SessionEventName];

  test(`goes to the socket: ${socket}, as a push: ${push}`, () => {
    const stepper = createStepper(DEFAULT_POLICY);
    const at = reach(stepper, "target.some", ...WAYS[state]);
    expect(stepper.describe(at).state).toBe(state);
    const { next, route, effects } = stepper.step(at, event);
    expect(route).toMatchObject({ socket, push, rule: `${state}/${kind}` });
    expect(next).toBe(at);
    expect(effects).toEqual([]);
  });

  test("is never a push when there is no target, and the rule says so where a push was wanted", () => {
    const stepper = createStepper(DEFAULT_POLICY);
    const at = reach(stepper, ...WAYS[state]);
    const { next, route } = stepper.step(at, event);
    const rule = push === "never" ? `${state}/${kind}` : `${state}/${kind}/no-target`;
    expect(route).toMatchObject({ socket, push: "never", rule });
    expect(next).toBe(at);
  });
});

test("a message's route does not depend on a drain", () => {
  const stepper = createStepper(DEFAULT_POLICY);
  for (const kind of ["message.alert", "message.quiet", "message.inApp", "message.ephemeral"] as const) {
    const event = SessionEvent[kind];
    const lost = stepper.step(reach(stepper, "target.some", "attach.visible", "closed.lost"), event);
    const drained = stepper.step(reach(stepper, "target.some", "attach.visible", "drained"), event);
    expect(drained.route).toBe(lost.route);
  }
});

test("routes are numbered without holes, one to a rule", () => {
  const stepper = createStepper(DEFAULT_POLICY);
  for (const { state, kind } of CELLS) {
    for (const first of ["target.some", "target.none"] as const) {
      stepper.step(reach(stepper, first, ...WAYS[state]), SessionEvent[`message.${kind}` as SessionEventName]);
    }
  }
  expect(stepper.routes.map((route) => route.index)).toEqual(stepper.routes.map((_, place) => place));
  const pushed = CELLS.filter(({ push }) => push !== "never").length;
  expect(new Set(stepper.routes.map((route) => route.rule)).size).toBe(CELLS.length + pushed);
  expect(stepper.routes).toHaveLength(CELLS.length + pushed);
});
