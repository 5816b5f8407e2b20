import { describe, expect, test } from "vitest";
import { boundsAlone, commitsAlone } from "./alone.ts";
import { judgeFair } from "./fair.ts";
import { IdleUser } from "./idle.ts";
import { Stage } from "./node.ts";
import { SteadyUser } from "./steady.ts";
import type { Happening, Line } from "./trace.ts";
import { createWholeClock } from "./whole_clock.ts";

const BOUNDS = { welcome: 70, frame: 70, "push, away": 170, "push, background": 130 };
const END_MS = 100_000;

/** What FAIR has against an idle user's sign-in at 10 s, and what happens besides. */
function judged(...lines: [at: number, happening: Happening][]): string[] {
  const begun: Line = { at: 10_000, what: "operation", kind: "welcome", user: "nima", device: "watch", id: undefined };
  const all: Line[] = [begun, ...lines.map(([at, happening]) => ({ at, ...happening }))].sort((a, b) => a.at - b.at);
  return judgeFair(all, BOUNDS, END_MS).map(({ device, rule, text }) => `${rule} ${device}: ${text}`);
}

const of = { user: "nima", device: "watch", connection: 1 };
const welcome: Happening = {
  ...{ what: "heard", ...of },
  frame: {
    ...{ type: "welcome", version: 1, userId: "nima", time: 0, heartbeatMs: 1, ackMs: 1, inputMs: 1, recovery: [] },
    limits: { frameBytes: 1, topics: 1 },
  },
};

describe("FAIR", () => {
  test("an operation within its time alone and a little more", () => {
    expect(judged([10_070, welcome])).toEqual([]);
  });

  test("a later one, and the load that goes on", () => {
    const text = "FAIR watch: welcome took 71 ms, at most 70 without the others; hello flood (since 500 ms)";
    expect(judged([9_500, { what: "load", name: "hello flood", ms: 1_000 }], [10_071, welcome])).toEqual([text]);
  });

  test("one that never ends, or ends with a refusal", () => {
    expect(judged()).toEqual(["FAIR watch: welcome never came, at most 70 without the others; no load"]);
    expect(judged([10_020, { what: "closed", ...of, ending: "node", code: 4408 }])).toEqual([
      "FAIR watch: welcome was refused after 20 ms, at most 70 without the others; no load",
    ]);
  });

  test("not while the store fails or a node ends", () => {
    expect(judged([10_030, { what: "store", call: "put", applied: false }], [11_000, welcome])).toEqual([]);
    expect(judged([10_030, { what: "engine", event: "killed" }])).toEqual([]);
    expect(judged([4_000, { what: "store", call: "put", applied: false }], [11_000, welcome])).toHaveLength(1);
  });
});

describe("an idle user of an engine", () => {
  /** A busy user's record is written late, and the idle user's as `isFair` says. */
  async function besideBusyRecord(isFair: boolean): Promise<string[]> {
    const clock = createWholeClock();
    const stage = new Stage(clock, 1);
    await stage.start();
    const idle = new IdleUser(stage);
    const dara = new SteadyUser(stage, "dara", "load");
    await idle.begin();
    await dara.begin();
    await clock.advance(5_000);
    stage.trace.note({ what: "load", name: "busy record", ms: 10_000 });
    stage.store.lag = (userId) => isFair && userId !== "dara" ? 0 : 400;
    void stage.node!.engine.publish({ to: "dara", content: "x" });
    expect(idle.signIn()).toBe(true);
    await clock.advance(5_000);
    expect(idle.receive()).toBe(true);
    await clock.advance(10_000);
    await stage.close();
    for (const device of stage.devices) device.close("lost");
    await stage.store.close();
    return judgeFair(stage.trace.lines, await boundsAlone(), clock.elapsed()).map(({ text }) => text.split(" took")[0]!);
  }

  test("needs few commits", async () => {
    const most = { welcome: 1, frame: 1, "push, away": 6, "push, background": 5 };
    for (const [kind, commits] of Object.entries(await commitsAlone())) {
      expect(commits).toBeGreaterThan(0);
      expect(commits).toBeLessThanOrEqual(most[kind as keyof typeof most]);
    }
  });

  test("does not wait for another user's record", async () => {
    expect(await besideBusyRecord(true)).toEqual([]);
  });

  test("is found to wait where a store makes all wait for one user", async () => {
    expect(await besideBusyRecord(false)).toEqual(["welcome", "push, away", "push, background"]);
  });
});
