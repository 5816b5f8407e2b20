import { describe, expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import { memory, type OutgoingMessage } from "../../mod.ts";
import { advance, FailingStore, type Failure, Faithful } from "./failing_store.ts";
import { createStage } from "./stage.ts";

/** What a walk through the script came to. */
interface Played {
  calls: readonly string[];
  /** First push by token and message: when. */
  pushes: Map<string, number>;
  /** Requests for it, and their collapse ids. */
  requests: Map<string, string[]>;
  contents: Record<string, Record<string, string[]>>;
  logged: number;
  /** Pushes of which it was written down that they were sent. */
  sent: number;
  /** Calls of the server, and requests and connections of devices, that were refused. */
  refused: number;
  timers: number;
}

const ROOM = { to: "*", channel: "room" };

/** Two people with three devices: a line is lost, a laptop acks and marks, tokens change, someone leaves. */
async function play(at: number, how: Failure): Promise<Played> {
  const clock = createManualClock();
  const store = new FailingStore(memory());
  let logged = 0;
  const log = (): void => void logged++;
  const stage = await createStage({ clock, storage: store.storage, logger: { info() {}, warn: log, error: log } });
  const { engine, provider } = stage;
  const pushedAt: number[] = [];
  provider.verdict = (token, attempt) => {
    pushedAt.push(clock.elapsed());
    return token === "reza" && attempt < 3 ? { verdict: "retry", afterMs: 2_000, reason: "busy" } : { verdict: "sent" };
  };
  const phone = new Faithful(stage, "sara", "phone", { token: "phone" });
  const laptop = new Faithful(stage, "sara", "laptop", { attended: true, habit: "sees" });
  const reza = new Faithful(stage, "reza", "reza", { token: "reza" });
  const devices = [phone, laptop, reza];
  for (const user of ["sara", "reza"]) await engine.subscribe(user, ROOM);
  for (const device of devices) await device.open();
  reza.close("leave");
  await clock.settle();

  store.arm(at, how);
  let refused = 0;
  /** The embedding server asks until that is done. */
  const ask = async (call: () => Promise<unknown>): Promise<void> => {
    for (let tries = 0; tries < 5; tries++) {
      const done = await call().then(() => true, () => false);
      if (done) return await clock.settle();
      refused++;
      await advance(clock, devices, 500);
    }
    throw new Error("never done");
  };
  const say = (id: string, message: Partial<OutgoingMessage> = {}): Promise<void> =>
    ask(() => engine.publish({ to: "sara", id, content: id, ...message }));
  phone.close("drop");
  await say("acked");
  await say("marked");
  await say("in the room", ROOM);
  await advance(clock, devices, 1_000);
  const { topic, epoch, offset } = laptop.device.of("message")[0]!;
  laptop.device.ack([{ topic, epoch, offset }]);
  await laptop.ask({ type: "mark", ref: 0, kind: "dismissed", topic, epoch, offset: offset + 1 });
  await say("low", { urgency: "low" });
  // The grace ends.
  await advance(clock, devices, 20_000);
  await say("dropped", { urgency: "low" });
  await advance(clock, devices, 500);
  const last = laptop.device.of("message").at(-1)!;
  await laptop.ask({ type: "mark", ref: 0, kind: "dismissed", topic, epoch, offset: last.offset });
  laptop.close("leave");
  await say("for reza", { to: "reza" });
  await advance(clock, devices, 6_000);
  await phone.open({ visible: false, habit: "sees" });
  await phone.ask({ type: "target", ref: 0, provider: "fake", token: "new phone", details: null });
  await say("background");
  await advance(clock, devices, 8_000);
  phone.close("leave");
  await advance(clock, devices, 5_000);
  await say("away");
  await ask(() => engine.unsubscribe("reza", ROOM));
  await say("in the room again", ROOM);
  await ask(() => engine.revoke("reza"));
  await say("for nobody", { to: "reza" });
  await advance(clock, devices, 70_000);

  for (const device of devices) await device.open({ attended: true });
  await advance(clock, devices, 5_000);
  const { pushesSent: sent } = engine.counters();
  await engine.close();
  const pushes = new Map<string, number>();
  const requests = new Map<string, string[]>();
  provider.sent.forEach(({ token, notification: { id, collapseId } }, index) => {
    const key = `${token} ${id}`;
    if (!pushes.has(key)) pushes.set(key, pushedAt[index]!);
    requests.set(key, [...requests.get(key) ?? [], collapseId]);
  });
  for (const device of devices) refused += device.refusals;
  const contents = { phone: phone.contents, laptop: laptop.contents, reza: reza.contents };
  return { calls: store.calls, pushes, requests, contents, logged, sent, refused, timers: clock.timers };
}

const well = await play(Infinity, "before");
/** Calls to be tried: all of them, in parts, so that a failure says where it is. */
const PARTS = 6;
const size = Math.ceil(well.calls.length / PARTS);

test("the script has enough for a storage to fail in", () => {
  expect([...well.pushes.keys()].sort()).toEqual(
    [
      ...["new phone away", "new phone background", "new phone in the room again", "new phone low"],
      ...["phone in the room", "reza for reza", "reza in the room"],
    ],
  );
  expect(well.logged).toBe(0);
  const kinds = [
    "publish",
    "read",
    "get",
    "put",
    "pushableMembers",
    "due",
    "take",
    "retry",
    "settle",
    "cancel",
    "ofMessage",
  ];
  for (const kind of [...kinds, "holders", "lease", "orphans"]) expect(well.calls).toContain(kind);
});

describe.each(["before", "after"] as const)("a storage that fails %s a call took effect", (how) => {
  test.each(Array.from({ length: PARTS }, (_, part) => part * size))(
    "loses nothing, delays nothing for long, and leaves nothing behind (calls from %i on)",
    async (from) => {
      for (let at = from; at < Math.min(from + size, well.calls.length); at++) {
        const played = await play(at, how);
        const what = `call ${at}: ${played.calls[at]}`;
        expect(played.contents, what).toEqual(well.contents);
        expect([...played.pushes.keys()].sort(), what).toEqual([...well.pushes.keys()].sort());
        for (const [key, first] of well.pushes) {
          const late = played.pushes.get(key)! - first;
          expect(late, `${what}, ${key}`).toBeLessThanOrEqual(5_000);
          const tried = well.requests.get(key)!.length;
          expect(played.requests.get(key)!.length, `${what}, ${key}`).toBeLessThanOrEqual(tried + 1);
          expect(new Set(played.requests.get(key)).size, `${what}, ${key}`).toBe(1);
        }
        expect(played.sent, what).toBe(well.sent);
        // The log says so, or somebody was told.
        expect(played.logged + played.refused, what).toBeGreaterThan(0);
        expect(played.timers, what).toBe(0);
      }
    },
  );
});
