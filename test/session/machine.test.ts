import { expect, test } from "vitest";
import { initialTransition, transition } from "xstate";
import type { SnapshotFrom } from "xstate";
import { sessionMachine } from "../../src/session/machine.ts";
import { SessionEvent } from "../../src/session/step.ts";

type Snapshot = SnapshotFrom<typeof sessionMachine>;
type Action = ReturnType<typeof transition<typeof sessionMachine>>[1][number];

/** Every reachable snapshot with all that the machine does there. */
function explore(): { snapshots: Snapshot[]; actions: Action[] } {
  const [first] = initialTransition(sessionMachine, { graceMs: 15_000, drainWindowMs: 5_000 });
  const known = new Map<string, Snapshot>([[JSON.stringify(first), first]]);
  const actions: Action[] = [];
  for (const snapshot of known.values()) {
    if (snapshot.status !== "active") continue;
    for (const type of sessionMachine.events) {
      const [next, done] = transition(sessionMachine, snapshot, { type } as Parameters<typeof sessionMachine.transition>[1]);
      actions.push(...done);
      const key = JSON.stringify(next);
      if (!known.has(key)) known.set(key, next);
    }
  }
  return { snapshots: [...known.values()], actions };
}

test("actions carry no params: a memo would replay those of the first time", () => {
  const { actions } = explore();
  const own = actions.filter((action) => !action.type.startsWith("xstate."));
  expect(new Set(own.map((action) => action.type)).size).toBeGreaterThan(5);
  for (const action of own) expect([action.type, action.params]).toEqual([action.type, undefined]);
});

test("the machine uses nothing of XState that the step can't translate: no actors, only the one timer", () => {
  const { snapshots, actions } = explore();
  const builtin = new Set(actions.map((action) => action.type as string).filter((type) => type.startsWith("xstate.")));
  expect(builtin).toEqual(new Set(["xstate.raise", "xstate.cancel"]));
  expect(sessionMachine.events.filter((type: string) => type.startsWith("xstate."))).toHaveLength(1);
  for (const snapshot of snapshots) expect(snapshot.children).toEqual({});
});

test("the memory is small: states times facets stay below thirty", () => {
  expect(explore().snapshots.length).toBeLessThan(30);
});

test("the session's events are the machine's, each known to both", () => {
  const machine = sessionMachine.events.map((type: string) => type.startsWith("xstate.after.") ? "grace" : type);
  expect(machine.toSorted()).toEqual(Object.keys(SessionEvent).toSorted());
  expect(Object.values(SessionEvent)).toEqual(Object.keys(SessionEvent).map((_, place) => place));
});
