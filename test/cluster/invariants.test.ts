import { tells } from "../engine/stage.ts";
import { expect, test } from "vitest";
import { seededRandom } from "../engine/stage.ts";
import { Cluster, type ClusterDevice, type Node } from "./stage.ts";

/** One device of one person, through all its connections. */
interface Life {
  readonly user: string;
  readonly token: string;
  readonly connections: ClusterDevice[];
  device: ClusterDevice;
  node: Node;
  visible: boolean;
  /** How much of the current connection's is in there already. */
  collected: number;
  /** Where the current connection is, by topic. */
  readonly at: Map<string, number>;
  /** How far the app is, by topic. */
  readonly shown: Map<string, { topic: string; epoch: number; offset: number }>;
  /** What the app showed, in order. */
  readonly ids: string[];
  /** What was handled in front of the person on a node that had time to write it down. */
  handled: { id: string; at: number; node: Node }[];
}

const SEEDS = 60;
const EVENTS = 70;
/** What was acked this long before a fault stands in the store. */
const WRITTEN_MS = 2_500;

test(
  `whatever happens to nodes, sockets and the storage: once and in order, or pushed once (${SEEDS} seeds x ${EVENTS} events)`,
  async () => {
    for (let seed = 1; seed <= SEEDS; seed++) await walk(seed);
  },
  120_000,
);

test("the same seed, the same story", async () => {
  expect(await walk(7)).toEqual(await walk(7));
});

async function walk(seed: number): Promise<string[]> {
  const random = seededRandom(seed);
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random.fraction() * values.length)]!;
  const cluster = new Cluster({ policy: { coalesceMs: 0 } }, seed);
  const { clock } = cluster;
  const story: string[] = [];
  await cluster.start(3);
  const alive = (): Node[] => cluster.nodes.filter(({ access }) => !access.gate.isKilled);
  const running = (): Node[] => alive().filter(({ access }) => access.gate.isRunning);
  let storageAway = false;

  for (const user of ["sara", "reza", "mina"]) {
    await cluster.finish(pick(alive()).engine.subscribe(user, { to: "*", channel: "news" }));
  }
  const lives: Life[] = [];
  for (const [index, user] of ["sara", "sara", "reza", "mina"].entries()) {
    const token = `token ${index}`;
    const node = pick(alive());
    const device = await node.device(user, { deviceId: token, token });
    lives.push({
      ...{ user, token, device, node, connections: [device], visible: true, collected: 0 },
      ...{ at: new Map(), shown: new Map(), ids: [], handled: [] },
    });
  }
  const published: { id: string; topic: string; offset: number }[] = [];

  function collect(life: Life): void {
    const { device, at, shown } = life;
    for (const frame of device.frames.slice(life.collected)) {
      if (frame.type === "welcome") { for (const { topic, offset } of frame.recovery) at.set(topic, offset); }
      if (frame.type === "welcome") {
        for (const each of frame.recovery) expect(each.recovered, `seed ${seed}: a hole`).toBe(true);
      }
      expect(frame.type, `seed ${seed}`).not.toBe("gap");
      if (frame.type === "advance") at.set(frame.topic, frame.offset);
      if (frame.type !== "message") continue;
      const { topic, epoch, offset, previous } = frame;
      expect(offset, `seed ${seed}: ${life.token} went back in ${topic}`).toBeGreaterThan(at.get(topic) ?? 0);
      expect(previous, `seed ${seed}: ${life.token} has a hole in ${topic}`).toBeLessThanOrEqual(at.get(topic) ?? 0);
      at.set(topic, offset);
      // What a client does: what is at or below its position was there before.
      if (offset <= (shown.get(topic)?.offset ?? 0)) continue;
      shown.set(topic, { topic, epoch, offset });
      const { id } = device.messages.find((message) => message.topic === topic && message.offset === offset)!;
      life.ids.push(id);
      const { access } = life.node;
      if (device.habit === "acks" && life.visible && access.gate.isRunning && !access.isAway && !storageAway) {
        life.handled.push({ id, at: clock.elapsed(), node: life.node });
      }
    }
    life.collected = device.frames.length;
  }

  function open(life: Life, node: Node, leavesOpen: boolean): void {
    collect(life);
    // Before its welcome a client gives a connection up by closing it.
    if (!leavesOpen || life.device.of("welcome").length === 0) life.device.drop();
    life.device.habit = "mute";
    life.at.clear();
    life.node = node;
    life.visible = true;
    life.collected = 0;
    life.device = node.connect(life.user, { deviceId: life.token, cursors: [...life.shown.values()] });
    life.connections.push(life.device);
  }

  /** A fault at a node, or everywhere: what was acked just before may be unwritten. */
  function fault(node?: Node): void {
    for (const life of lives) {
      collect(life);
      const since = clock.elapsed() - WRITTEN_MS;
      life.handled = life.handled.filter((handled) =>
        handled.at < since || (node !== undefined && handled.node !== node && life.node !== node)
      );
    }
  }

  for (let event = 0; event < EVENTS; event++) {
    const life = pick(lives);
    const what = pick([
      ...["publish", "publish", "publish", "publish", "publish", "publish", "wait", "wait", "open", "open", "leave", "drop"],
      ...["mute", "wake", "background", "foreground", "pause", "resume", "kill", "restart", "cut", "isolate", "heal", "heal"],
      ...["storage", "storage back", "lag"],
    ]);
    const node = pick(running());
    story.push(`${clock.elapsed()} ${what} ${life.token} ${cluster.nodes.indexOf(node)}`);
    switch (what) {
      case "publish": {
        const topic = pick(["sara/default", "reza/default", "mina/default", "*/news"]);
        const [to, channel] = topic.split("/") as [string, string];
        node.engine.publish({ to, channel, content: `${event}` }).then(({ id, position }) => {
          published.push({ id, topic, offset: position!.offset });
        }, () => {});
        break;
      }
      case "wait":
        await clock.advance(pick([10, 500, 2_999, 3_001, 9_000, 16_000]));
        break;
      case "open":
        open(life, pick(alive()), pick([true, false]));
        break;
      case "leave":
        collect(life);
        life.device.leave();
        break;
      case "drop":
        collect(life);
        life.device.drop();
        break;
      case "mute":
        collect(life);
        life.device.habit = "mute";
        break;
      case "wake":
        if (life.device.habit === "mute" && life.device.isOpen) {
          life.device.habit = "acks";
          life.device.ack(life.device.cursors);
        }
        break;
      case "background":
      case "foreground":
        collect(life);
        life.visible = what === "foreground";
        if (life.device.of("welcome").length > 0) life.device.state(life.visible, life.visible && pick([true, false]));
        break;
      case "pause":
        if (running().length > 1) fault(node), node.pause();
        break;
      case "resume":
        for (const stopped of alive()) if (!stopped.access.gate.isRunning) await stopped.resume(pick(["timer", "input"]));
        break;
      case "kill":
        if (running().length > 1) fault(node), node.kill();
        break;
      case "restart":
        if (alive().length < 3 && !storageAway) await cluster.node();
        break;
      case "cut":
        node.cut();
        break;
      case "isolate":
        fault(node);
        node.isolate();
        break;
      case "heal":
        await node.heal();
        break;
      case "storage":
        fault();
        storageAway = true;
        await cluster.setStorageAway(true);
        break;
      case "storage back":
        storageAway = false;
        await cluster.setStorageAway(false);
        break;
      case "lag":
        node.access.lagMs = pick([0, 0, 300, 2_000]);
    }
    await clock.settle();
    lives.forEach(collect);
  }

  // All is well again.
  await cluster.setStorageAway(false);
  storageAway = false;
  for (const node of alive()) {
    await node.resume();
    node.access.lagMs = 0;
    await node.heal();
  }
  await clock.advance(150_000);
  lives.forEach(collect);
  for (const push of cluster.pushes) {
    // Whose outcome could not be written down is asked for again, under the same id.
    if (push.isAmbiguous) continue;
    const later = cluster.pushes.find((other) => keyOf(other) === keyOf(push) && other.at > push.at);
    expect(later, `seed ${seed}: ${keyOf(push)} pushed twice`).toBe(undefined);
  }
  for (const life of lives) {
    for (const { id, offset, topic } of published) {
      if (!reads(life, topic) || life.ids.includes(id)) continue;
      // Who acked it in front of the person spared the other device the push.
      if (
        cluster.notes.some((note) =>
          note.id === id && note.userId === life.user && note.detail?.startsWith("dealt with on another device")
        )
      ) continue;
      const pushed = cluster.pushes.some(({ token, notification }) =>
        token === life.token && tells(notification, { id, offset, topic })
      );
      expect(pushed, `seed ${seed}: ${life.token} neither got nor was pushed ${id} of ${topic}`).toBe(true);
    }
    for (const { id, at } of life.handled) {
      const late = cluster.pushes.find((push) => push.token === life.token && push.notification.id === id && push.at > at);
      expect(late === undefined, `seed ${seed}: ${life.token} was pushed ${id} at ${late?.at}, handled at ${at}`).toBe(true);
    }
    // Only the newest connection, if any, and it was not told to stay away.
    const open = life.connections.filter(({ isOpen }) => isOpen);
    expect(open.length, `seed ${seed}: ${life.token} has several connections`).toBeLessThanOrEqual(1);
    if (open.length === 1) expect(open[0] === life.device, `seed ${seed}: not the newest`).toBe(true);
    expect(life.device.closedWith, `seed ${seed}: ${life.token} was told that it was replaced`).not.toBe(4101);
  }

  // Everybody comes back: everything is there, in order, without a hole.
  for (const life of lives) open(life, pick(alive()), true);
  await clock.advance(3_000);
  for (const life of lives) {
    collect(life);
    expect(life.device.isOpen, `seed ${seed}: ${life.token} could not come back`).toBe(true);
    const expected = published.filter(({ topic }) => reads(life, topic)).map(({ id }) => id);
    expect([...life.ids].sort(), `seed ${seed}: ${life.token} lost or repeated something`).toEqual(expected.sort());
  }
  story.push(...cluster.pushes.map((push) => `${push.at} ${keyOf(push)}`), ...lives.map(({ ids }) => ids.join(" ")));
  await cluster.close();
  expect(clock.timers, `seed ${seed}: a timer leaked`).toBe(0);
  return story;
}

function keyOf({ token, notification: { topic, position } }: Cluster["pushes"][number]): string {
  return `${token} ${topic} ${position.offset}`;
}

function reads({ user }: Life, topic: string): boolean {
  return topic === "*/news" || topic === `${user}/default`;
}
