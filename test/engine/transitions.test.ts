import type { AnyStateNode } from "xstate";
import { expect, test, vi } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import { sessionMachine } from "../../src/session/machine.ts";
import { createStage, type DeviceOptions, surviving } from "./stage.ts";

/** What engines raised: the session's state, whether it had a target, and the event. */
const raised = vi.hoisted(() => new Set<string>());

vi.mock("../../src/session/step.ts", async (original) => {
  const actual = await original<typeof import("../../src/session/step.ts")>();
  const names = Object.keys(actual.SessionEvent);
  return {
    ...actual,
    createStepper(...given: Parameters<typeof actual.createStepper>) {
      const stepper = actual.createStepper(...given);
      return {
        ...stepper,
        step(state: number, event: never) {
          const { hasTarget, state: name } = stepper.describe(state);
          raised.add(`${name} ${hasTarget} ${names[event]}`);
          return stepper.step(state, event);
        },
      };
    },
  };
});

const root: AnyStateNode = sessionMachine.root;

/** A node and all inside it. */
const within = (node: AnyStateNode): AnyStateNode[] => [node, ...Object.values(node.states).flatMap(within)];
const leaves = within(root).filter((node) => Object.keys(node.states).length === 0);
const nameOf = (node: AnyStateNode): string => node.path.join(".");

/** The node among a leaf and those around it that acts on an event there, and by which of its transitions. */
function actorOf(leaf: AnyStateNode, event: string, hasTarget: boolean): { node: AnyStateNode; guarded: boolean } | undefined {
  for (let node: AnyStateNode | undefined = leaf; node !== undefined; node = node.parent) {
    const found = linesOf(node, event).find(({ guard }) => guard === undefined || hasTarget);
    if (found !== undefined) return { node, guarded: found.guard !== undefined };
  }
  return undefined;
}

const linesOf = (node: AnyStateNode, event: string) =>
  [...node.transitions.values()].flat().filter(({ eventType }) => eventType === event);

/** Where a transition is printed: what is done without leaving in each box, an arrow once where it begins, one of the root's at each of the outermost. */
function printedAt(node: AnyStateNode, leaf: AnyStateNode, stays: boolean): string {
  if (node === root) return leaf.path[0]!;
  return nameOf(stays ? leaf : node);
}

/** Every line of the printed machine, in short. */
function printed(reached?: ReadonlySet<string>): Set<string> {
  const lines = new Set<string>();
  const events = new Set(within(root).flatMap(({ transitions }) => [...transitions.keys()]));
  for (const leaf of leaves) {
    if (leaf.type === "final") continue;
    for (const event of events) {
      for (const hasTarget of [false, true]) {
        const name = event.startsWith("xstate.after.") ? "grace" : event;
        if (reached !== undefined && !reached.has(`${nameOf(leaf)} ${hasTarget} ${name}`)) continue;
        const found = actorOf(leaf, event, hasTarget);
        if (found === undefined) continue;
        const { guarded, node } = found;
        const stays = linesOf(node, event).every(({ target }) => target === undefined);
        lines.add(`${printedAt(node, leaf, stays)}: ${name}${guarded ? " [hasTarget]" : ""}`);
      }
    }
  }
  return lines;
}

test("every transition that is printed is raised by the engine", async () => {
  const storage = surviving();
  const clock = createManualClock();
  const first = await createStage({ storage, clock });
  const { device, engine } = first;

  async function say(to: string): Promise<void> {
    for (const options of [{}, { urgency: "low" }, { inApp: true }, { ephemeral: true }] as const) {
      await engine.publish({ to, content: "hi", ...options });
      await clock.settle();
    }
  }
  const register = { type: "target", ref: 0, provider: "fake", details: null } as const;

  for (const hasTarget of [false, true]) {
    let user = 0;
    /** A user of their own, with a target or without. */
    const open = async (options: DeviceOptions = {}) => {
      const name = `${hasTarget} ${++user}`;
      return { name, phone: await device(name, { ...options, ...hasTarget ? { token: name } : {} }) };
    };
    // In front: seen in time; then not, then seen after all.
    const live = await open();
    await say(live.name);
    live.phone.habit = "mute";
    await say(live.name);
    await clock.advance(3_000);
    await say(live.name);
    await clock.advance(3_000);
    live.phone.ack();
    // To the background and back, on the same connection and on another one, with something unseen.
    live.phone.state(false);
    await say(live.name);
    await clock.advance(3_000);
    live.phone.state(true);
    const newer = await device(live.name, { visible: true });
    expect(live.phone.closedWith).toBe(4101);
    const hidden = await device(live.name, { visible: false });
    await device(live.name, { visible: false });
    await device(live.name, { visible: true });
    expect([newer.closedWith, hidden.closedWith]).toEqual([4101, 4101]);
    // A target comes and goes.
    const other = await open();
    await other.phone.request({ ...register, token: `${other.name} new` });
    await other.phone.request({ ...register, token: null });
    const behind = await open({ visible: false });
    await behind.phone.request({ ...register, token: `${behind.name} new` });
    await behind.phone.request({ ...register, token: null });
    // The socket goes: with a word and without, in front and in the background; and comes back.
    for (const visible of [true, false]) {
      for (const how of ["leave", "leavePage", "drop"] as const) {
        const leaving = await open({ visible });
        leaving.phone[how]();
        await clock.settle();
        await say(leaving.name);
        await clock.advance(20_000);
        await say(leaving.name);
        await device(leaving.name, { visible });
        await device(leaving.name, { visible });
      }
      // The page goes just after it was hidden.
      const hiding = await open();
      hiding.phone.state(false);
      hiding.phone.leavePage();
      // Another user takes the device, once the socket is lost and while it is there.
      for (const isLost of [true, false]) {
        const former = await open({ visible });
        if (isLost) former.phone.drop();
        await device(`another than ${former.name}`, { deviceId: former.phone.deviceId });
      }
      // Lost, and back in front or in the background.
      const lost = await open();
      lost.phone.drop();
      await device(lost.name, { visible });
      // Signed out.
      await open({ visible }).then(({ name }) => engine.revoke(name));
    }
    const gone = await open();
    gone.phone.drop();
    await engine.revoke(gone.name);
  }

  // The node drains and closes; what it held is found by the next one.
  await device("front");
  await device("behind", { visible: false });
  const drained = engine.drain();
  await clock.advance(5_000);
  await drained;
  await engine.close();
  const second = await createStage({ storage, clock });
  expect((await second.engine.sessions("front"))[0]?.state).toBe("disconnected.recent");
  await clock.advance(30_000);
  await second.engine.close();

  const all = printed();
  expect(all.size).toBeGreaterThan(40);
  expect([...all].filter((line) => !printed(raised).has(line))).toEqual([]);
});
