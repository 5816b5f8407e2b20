import { describe, expect, test } from "vitest";
import { DEFAULT_POLICY } from "../../src/session/policy.ts";
import { createStepper, SessionEvent } from "../../src/session/step.ts";
import type { SessionEffect, SessionEventName, SessionFacts, StateId, Stepper } from "../../src/session/step.ts";

const GRACE = { timer: "grace", ms: 15_000 } as const;
const DRAIN_GRACE = { timer: "grace", ms: 20_000 } as const;
const NO_GRACE = { timer: "grace", ms: null } as const;

/** A session that is led through events and keeps what the last one asked for. */
function session(stepper: Stepper = createStepper(DEFAULT_POLICY)) {
  let at: StateId = stepper.start;
  const self = {
    effects: [] as readonly SessionEffect[],
    get facts(): SessionFacts {
      return stepper.describe(at);
    },
    get state(): string {
      return stepper.describe(at).state;
    },
    on(...events: SessionEventName[]) {
      for (const event of events) {
        const step = stepper.step(at, SessionEvent[event]);
        at = step.next;
        self.effects = step.effects;
      }
      return self;
    },
  };
  return self;
}

describe("where a session goes", () => {
  test("a session loaded from the store is away, without target or timer", () => {
    expect(session().facts).toEqual({ state: "disconnected.away", connected: false, hasTarget: false });
  });

  test("a clean close is away at once and decides the rest", () => {
    for (const way of [["attach.visible"], ["attach.visible", "overdue"], ["attach.background"]] as const) {
      const closed = session().on(...way, "closed.clean");
      expect(closed.state).toBe("disconnected.away");
      expect(closed.effects).toEqual(["decideRest"]);
    }
  });

  test("a lost socket is recent, and away when the grace is over", () => {
    for (const way of [["attach.visible"], ["attach.visible", "overdue"]] as const) {
      const lost = session().on(...way, "closed.lost");
      expect(lost.state).toBe("disconnected.recent");
      expect(lost.effects).toEqual([GRACE]);
      lost.on("grace");
      expect(lost.state).toBe("disconnected.away");
      expect(lost.effects).toEqual([NO_GRACE, "decideRest"]);
    }
  });

  test("a page that is left is recent for 5 s, or for the grace if that is shorter", () => {
    for (const way of [["attach.visible"], ["attach.visible", "overdue"], ["attach.visible", "background"]] as const) {
      const left = session().on(...way, "closed.left");
      expect(left.state).toBe("disconnected.recent");
      expect(left.effects).toEqual([{ timer: "grace", ms: 5_000 }]);
      left.on("grace");
      expect(left.state).toBe("disconnected.away");
      expect(left.effects).toEqual([NO_GRACE, "decideRest"]);
    }
    const hasty = createStepper({ graceMs: 1_000, drainWindowMs: 0 });
    expect(session(hasty).on("attach.visible", "closed.left").effects).toEqual([{ timer: "grace", ms: 1_000 }]);
    // That it was left is forgotten with the next connection.
    expect(session().on("attach.visible", "closed.left", "attach.visible", "closed.lost").effects).toEqual([GRACE]);
  });

  test("a socket lost in the background is away at once and decides the rest", () => {
    for (const way of [["attach.background"], ["attach.visible", "background"]] as const) {
      const lost = session().on(...way, "closed.lost");
      expect(lost.state).toBe("disconnected.away");
      expect(lost.effects).toEqual(["decideRest"]);
    }
  });

  test("a session that another node took over never passes recent and decides nothing", () => {
    for (const way of [["attach.visible"], ["attach.visible", "overdue"], ["attach.background"]] as const) {
      const replaced = session().on(...way, "replaced");
      expect(replaced.state).toBe("disconnected.away");
      expect(replaced.effects).toEqual([]);
    }
    const replaced = session().on("attach.visible", "closed.lost", "replaced");
    expect(replaced.state).toBe("disconnected.away");
    expect(replaced.effects).toEqual([NO_GRACE]);
  });

  test("a drain holds the session for the window in which clients return plus the grace", () => {
    for (const way of [["attach.visible"], ["attach.visible", "overdue"], ["attach.background"]] as const) {
      const drained = session().on(...way, "drained");
      expect(drained.state).toBe("disconnected.recent");
      expect(drained.effects).toEqual([DRAIN_GRACE]);
    }
  });

  test("the longer grace of a drain ends with it", () => {
    const back = session().on("attach.visible", "drained", "attach.visible", "closed.lost");
    expect(back.effects).toEqual([GRACE]);
    expect(session().on("attach.visible", "drained", "grace", "orphaned").effects).toEqual([GRACE]);
  });

  test("a session of a dead node, or of this node's last life, comes back as recent", () => {
    const orphaned = session().on("orphaned");
    expect(orphaned.state).toBe("disconnected.recent");
    expect(orphaned.effects).toEqual([GRACE]);
  });

  test("only an away session can be an orphan", () => {
    for (const way of [["attach.visible"], ["attach.background"], ["attach.visible", "closed.lost"], ["signOut"]] as const) {
      const before = session().on(...way);
      const state = before.state;
      before.on("orphaned");
      expect(before.state).toBe(state);
      expect(before.effects).toEqual([]);
    }
  });

  test("something overdue makes a connection suspect and is pushed; once all is seen it is live again", () => {
    const connected = session().on("attach.visible", "overdue");
    expect(connected.state).toBe("connected.suspect");
    expect(connected.effects).toEqual(["pushOverdue"]);
    connected.on("overdue");
    expect(connected.state).toBe("connected.suspect");
    expect(connected.effects).toEqual(["pushOverdue"]);
    connected.on("seen");
    expect(connected.state).toBe("connected.live");
    expect(connected.effects).toEqual([]);
  });

  test("what was sent just before the app went to the background is pushed when overdue, and the session stays there", () => {
    const backgrounded = session().on("attach.visible", "background", "overdue");
    expect(backgrounded.state).toBe("backgrounded");
    expect(backgrounded.effects).toEqual(["pushOverdue"]);
  });

  test("a disconnected session has nothing overdue", () => {
    for (const way of [["attach.visible", "closed.lost"], ["attach.visible", "closed.clean"]] as const) {
      expect(session().on(...way, "overdue").effects).toEqual([]);
    }
  });

  test("the app goes to the background and comes back live", () => {
    const app = session().on("attach.visible", "overdue", "background");
    expect(app.state).toBe("backgrounded");
    expect(app.on("foreground").state).toBe("connected.live");
  });

  test("a new connection begins afresh from every state, without passing recent or deciding anything", () => {
    const ways = [
      [],
      ["attach.visible"],
      ["attach.visible", "overdue"],
      ["attach.background"],
      ["attach.visible", "closed.lost"],
      ["attach.background", "drained"],
    ] as const;
    for (const way of ways) {
      const recent = session().on(...way).state === "disconnected.recent";
      const visible = session().on(...way, "attach.visible");
      expect(visible.facts).toMatchObject({ state: "connected.live", connected: true });
      expect(visible.effects).toEqual(recent ? [NO_GRACE] : []);
      const hidden = session().on(...way, "attach.background");
      expect(hidden.facts).toMatchObject({ state: "backgrounded", connected: true });
      expect(hidden.effects).toEqual(recent ? [NO_GRACE] : []);
    }
  });

  test("whoever leaves recent gives up the grace, and only then", () => {
    for (const name of Object.keys(SessionEvent) as SessionEventName[]) {
      const held = session().on("target.some", "attach.visible", "closed.lost", name);
      const timers = held.effects.filter((effect) => typeof effect === "object");
      expect([name, timers]).toEqual([name, held.state === "disconnected.recent" ? [] : [NO_GRACE]]);
    }
  });

  test("signing out releases the session from every state and is the end", () => {
    for (const way of [[], ["attach.visible"], ["attach.background"], ["attach.visible", "closed.lost"]] as const) {
      const out = session().on("target.some", ...way, "signOut");
      expect(out.state).toBe("signedOut");
      expect(out.effects.at(-1)).toBe("release");
      for (const name of Object.keys(SessionEvent) as SessionEventName[]) {
        out.on(name);
        expect(out.facts).toMatchObject({ state: "signedOut", hasTarget: true });
        expect(out.effects).toEqual([]);
      }
    }
  });
});

describe("what a session knows", () => {
  test("a push target stays through everything but its removal", () => {
    const kept = session().on("target.some", "attach.visible", "overdue", "background", "drained", "grace", "orphaned");
    expect(kept.facts.hasTarget).toBe(true);
    expect(kept.on("target.none").facts.hasTarget).toBe(false);
    expect(kept.effects).toEqual([]);
  });
});

describe("the memory", () => {
  test("the same event in the same state gives the same object", () => {
    const stepper = createStepper(DEFAULT_POLICY);
    const { start } = stepper;
    for (const event of Object.values(SessionEvent)) {
      const first = stepper.step(start, event);
      expect(stepper.step(start, event)).toBe(first);
      expect(Object.isFrozen(first) && Object.isFrozen(first.effects)).toBe(true);
    }
  });

  test("states that are alike have one id, by whatever way they were reached", () => {
    const stepper = createStepper(DEFAULT_POLICY);
    const { start, step } = stepper;
    const there = step(step(start, SessionEvent["target.some"]).next, SessionEvent["attach.visible"]).next;
    const detour = step(step(start, SessionEvent["attach.background"]).next, SessionEvent.foreground).next;
    expect(step(detour, SessionEvent["target.some"]).next).toBe(there);
    expect(detour).not.toBe(there);
    expect(step(step(there, SessionEvent["closed.clean"]).next, SessionEvent["target.none"]).next).toBe(start);
  });

  test("two policies side by side share nothing", () => {
    const patient = createStepper({ graceMs: 60_000, drainWindowMs: 0 });
    const hasty = createStepper({ graceMs: 1_000, drainWindowMs: 500 });
    for (const [stepper, lost, drained] of [[patient, 60_000, 60_000], [hasty, 1_000, 1_500]] as const) {
      expect(session(stepper).on("attach.visible", "closed.lost").effects).toEqual([{ timer: "grace", ms: lost }]);
      expect(session(stepper).on("attach.visible", "drained").effects).toEqual([{ timer: "grace", ms: drained }]);
    }
    const [one, other] = [patient, hasty].map((stepper) => {
      stepper.step(stepper.start, SessionEvent["message.alert"]);
      return stepper;
    });
    expect(one!.routes[0]).toEqual(other!.routes[0]);
    expect(one!.routes[0]).not.toBe(other!.routes[0]);
  });

  test("a state that this stepper never gave is an internal error", () => {
    const stepper = createStepper(DEFAULT_POLICY);
    expect(() => stepper.step(99, SessionEvent.seen)).toThrow(expect.objectContaining({ code: "internal" }));
  });
});
