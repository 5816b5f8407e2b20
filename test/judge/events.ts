import type { Topic } from "../../src/protocol/names.ts";
import type { EventName } from "./chances.ts";
import type { Device } from "./device.ts";
import type { IdleUser } from "./idle.ts";
import { type Load, type LoadName, LOADS } from "./load.ts";
import type { Mode, Stage } from "./node.ts";
import { type Call, CALLS } from "./store.ts";

/** What an event works with. */
export interface Scene {
  readonly stage: Stage;
  readonly pick: <T>(values: readonly T[]) => T;
  /** Whom it happens to, if to somebody. */
  readonly device: Device;
  readonly devices: readonly Device[];
  /** Counts the events of the walk. */
  readonly number: number;
  readonly load: Load | undefined;
  readonly idle: IdleUser | undefined;
}

const WAITS = [10, 10, 10, 500, 500, 500, 2_999, 3_001, 3_001, 5_000, 5_000, 15_001, 15_001, 31_000, 61_000, 121_000];
const TOPICS = ["sara/default", "reza/default", "mina/default", "sara/default", "*/news", "*/room"];
const TROUBLES: readonly Mode[] = ["retry", "rest", "throws", "hangs", "nonsense", "slow", "gone", "rejected"];

/** Lets something happen, and what follows from it at once. */
export async function happen(name: EventName, scene: Scene): Promise<void> {
  const { pick, stage } = scene;
  if (name === "wait") return await stage.clock.advance(pick(WAITS));
  if (name === "restart") return await restart(scene);
  if (isLoad(name)) return scene.load?.make(name, pick);
  if (name === "idle user signs in") return void scene.idle?.signIn();
  if (name === "idle user is sent a message") return void scene.idle?.receive();
  if (name.startsWith("opens") || name === "background wake") comes(name, scene);
  else if (name.includes("publishes")) publishes(name, scene);
  else if (!behaves(name, scene)) surrounds(name, scene);
  // Often two things happen before the engine has got round to the first.
  if (stage.random.fraction() < 0.7) await stage.clock.settle();
}

async function restart({ devices, pick, stage }: Scene): Promise<void> {
  if (stage.node === undefined) return;
  const there = devices.filter(({ isOpen }) => isOpen);
  await stage.close();
  await stage.start();
  for (const device of there) comeBack(device, stage, pick([0, 300, 500, 1_000, 2_000, undefined]));
}

/** A client whose connection broke comes back by itself, in most cases. */
function comeBack(device: Device, stage: Stage, ms: number | undefined): void {
  if (ms === undefined) return;
  stage.clock.setTimeout(() => {
    if (!device.isOpen && device.isSignedIn && stage.node !== undefined) device.open(stage.node, device.visible);
  }, ms);
}

function comes(name: EventName, { device, pick, stage }: Scene): void {
  const { clock, node } = stage;
  if (node === undefined) return;
  if (name === "background wake") {
    if (device.isOpen) return;
    device.open(node, false);
    clock.setTimeout(() => {
      if (!device.visible) device.close("clean");
    }, pick([300, 1_000, 2_000]));
    return;
  }
  device.open(node, name === "opens in front");
  // Who opens an app touches it.
  if (device.visible && !isWall(device) && stage.random.fraction() < 0.7) device.lastInput = clock.elapsed();
}

function publishes(name: EventName, { device, number, pick, stage }: Scene): void {
  const topic: Topic = pick(TOPICS);
  const id = `m${number}`;
  const urgency = pick(["normal", "normal", "normal", "normal", "high", "low", "low", "very-low"] as const);
  const ttl = pick([undefined, undefined, undefined, undefined, 4, 40]);
  const inApp = stage.random.fraction() < 0.04;
  const options = {
    ...urgency === "normal" ? {} : { urgency },
    ...ttl === undefined ? {} : { ttl },
    ...inApp ? { inApp } : {},
  };
  if (name === "client publishes") {
    if (urgency === "high") return;
    return device.publish(pick([topic, `${device.user}/default`]), id, Object.keys(options).length === 0 ? null : options);
  }
  const [to, channel] = topic.split("/") as [string, string];
  const from = stage.random.fraction() < 0.1 ? { from: pick(["sara", "reza"]) } : {};
  stage.node?.engine.publish({ to, channel, id, content: id, ...options, ...from }).catch(() => {});
}

/** What devices and people do. @returns whether that was it */
function behaves(name: EventName, scene: Scene): boolean {
  const { device, pick, stage } = scene;
  const { habit } = device;
  switch (name) {
    case "leaves":
      device.close("clean");
      return true;
    case "drops":
      device.close("lost");
      return true;
    case "reloads its page":
      if (device.isOpen) {
        device.close(pick(["page", "lost"]));
        device.visible = true;
        comeBack(device, stage, pick([50, 300, 900]));
      }
      return true;
    case "hides":
      if (!isWall(device)) device.show(false);
      return true;
    case "shows":
      device.show(true);
      if (!isWall(device) && stage.random.fraction() < 0.7) device.input();
      return true;
    case "input":
      if (device.isOpen && device.visible && !isWall(device)) device.input();
      return true;
    case "goes mute":
      if (device.isWelcome) habit.mute = true;
      return true;
    case "wakes up":
      device.wake();
      return true;
    case "slow handler":
      habit.handlerMs = pick([200, 2_000, 7_000]);
      return true;
    case "hanging handler":
      habit.handlerMs = Infinity;
      return true;
    case "failing handler":
      habit.fails = true;
      return true;
    case "good handler":
      habit.fails = false;
      device.release();
      return true;
    case "reads":
    case "dismisses":
    case "marks nonsense":
      marks(name, scene);
      return true;
    case "new token":
      if (device.token !== undefined) device.register(`${device.id} token ${scene.number}`);
      return true;
    case "registers again":
      if (device.token !== undefined) device.register(device.token);
      return true;
    case "drops its token":
      if (device.token !== undefined) device.register(null);
      return true;
    case "logs out":
      device.logout();
      return true;
  }
  return false;
}

function marks(name: EventName, { device, pick, stage }: Scene): void {
  const entries = stage.trace.lines.flatMap((line) =>
    line.what === "appended" && (line.entry.topic.startsWith("*") || line.entry.topic.startsWith(`${device.user}/`))
      ? [line.entry]
      : []
  );
  if (entries.length === 0) return;
  const entry = pick(entries.slice(-8));
  if (name !== "marks nonsense") return device.mark(name === "reads" ? "read" : "dismissed", entry);
  const { epoch, id, offset, topic } = entry;
  device.mark(
    pick(["read", "dismissed"]),
    pick([{ topic, id, epoch, offset: offset + 50 }, { topic, id, epoch: epoch + 1, offset }, {
      topic,
      id: "other",
      epoch,
      offset: 0,
    }]),
  );
}

/** What happens around them. */
function surrounds(name: EventName, { device, devices, pick, stage }: Scene): void {
  const { store } = stage;
  const topic = pick(["*/news", "*/room"] as const);
  switch (name) {
    case "unsubscribes":
      if (stage.random.fraction() < 0.5) return device.request({ type: "unsubscribe", ref: 0, topic });
      return stage.call("unsubscribe", device.user, topic.slice(2));
    case "subscribes":
      if (stage.random.fraction() < 0.5) return device.request({ type: "subscribe", ref: 0, topic, since: null, anew: false });
      return stage.call("subscribe", device.user, topic.slice(2));
    case "subscribes again":
      return device.request({ type: "subscribe", ref: 0, topic, since: pick([null, { epoch: 0, offset: 0 }]), anew: false });
    case "revoke":
      return stage.call("revoke", device.user);
    case "provider fails":
      return stage.setMode(pick(TROUBLES));
    case "provider is well":
      return stage.setMode("well");
    case "store fails":
      store.failing.set(pick(CALLS) as Call, pick([1, 1, 2, 4]));
      return;
    case "store is well":
      return store.failing.clear();
    case "kill":
      return killed(stage, devices, pick);
    case "kill soon": {
      let steps = 1 + Math.floor(stage.random.fraction() * 20);
      store.step = () => {
        if (--steps === 0) killed(stage, devices, pick);
      };
    }
  }
}

function killed(stage: Stage, devices: readonly Device[], pick: Scene["pick"]): void {
  const there = devices.filter(({ isOpen }) => isOpen);
  stage.kill();
  for (const device of there) comeBack(device, stage, pick([500, 1_000, 2_000, 4_000, undefined]));
}

function isLoad(name: EventName): name is LoadName {
  return (LOADS as readonly EventName[]).includes(name);
}

function isWall({ id }: Device): boolean {
  return id === "sara's wall";
}
