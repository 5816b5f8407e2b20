import { expect, test } from "vitest";
import { createStage, type Device, seededRandom, type Stage, tells } from "./stage.ts";

/** One device of one person, through all its connections. */
interface Life {
  readonly user: string;
  readonly token: string;
  device: Device | undefined;
  /** Everything its connections brought, in order. */
  readonly got: { id: string; offset: number; topic: string }[];
  /** How much of the current connection's is in there already. */
  collected: number;
}

const SEEDS = 150;
const EVENTS = 80;

test(
  `whatever happens to sockets: everything arrives once and in order, or is pushed once (${SEEDS} seeds x ${EVENTS} events)`,
  async () => {
    for (let seed = 1; seed <= SEEDS; seed++) await walk(seed);
  },
  120_000,
);

async function walk(seed: number): Promise<void> {
  const random = seededRandom(seed);
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random.fraction() * values.length)]!;
  const stage = await createStage({ policy: { ackTimeoutMs: 3_000, graceMs: 15_000, coalesceMs: 0 } });
  const { engine, clock, provider } = stage;
  const lives: Life[] = ["sara", "sara", "reza", "mina"].map((user, index) => ({
    ...{ user, token: `token ${index}`, device: undefined, got: [], collected: 0 },
  }));
  for (const user of ["sara", "reza", "mina"]) await engine.subscribe(user, { to: "*", channel: "news" });
  for (const life of lives) await open(stage, life);
  const published: { id: string; topic: string; offset: number }[] = [];

  for (let event = 0; event < EVENTS; event++) {
    const life = pick(lives);
    const { device } = life;
    switch (
      pick(["publish", "publish", "publish", "wait", "open", "leave", "drop", "mute", "wake", "background", "foreground"])
    ) {
      case "publish": {
        const topic = pick(["sara/default", "reza/default", "mina/default", "*/news"]);
        const [to, channel] = topic.split("/") as [string, string];
        const { id, position } = await engine.publish({ to, channel, content: `${event}` });
        published.push({ id, topic, offset: position!.offset });
        break;
      }
      case "wait":
        await clock.advance(pick([10, 500, 2_999, 3_001, 16_000]));
        break;
      case "open":
        collect(life);
        await open(stage, life);
        break;
      case "leave":
        collect(life);
        device?.leave();
        life.device = undefined;
        break;
      case "drop":
        collect(life);
        device?.drop();
        life.device = undefined;
        break;
      case "mute":
        if (device !== undefined) device.habit = "mute";
        break;
      case "wake":
        if (device?.habit === "mute") {
          device.habit = "acks";
          device.ack(device.cursors);
        }
        break;
      default:
        device?.state(pick([true, false]));
    }
    await clock.settle();
  }

  // Safety, as it stands: never two pushes of one message to one target.
  await clock.advance(100_000);
  const pushes = provider.sent.map(({ token, notification }) => `${token} ${notification.topic} ${notification.position.offset}`);
  expect(new Set(pushes).size, `seed ${seed}: pushed twice`).toBe(pushes.length);
  // Whoever never got a message by now (mute or gone for long) was pushed for it.
  for (const life of lives) {
    collect(life);
    for (const { id, offset, topic } of published) {
      if (!reads(life, topic) || life.got.some((got) => got.id === id)) continue;
      const pushed = provider.sent.some(({ token, notification }) =>
        token === life.token && tells(notification, { id, offset, topic })
      );
      expect(pushed, `seed ${seed}: ${life.token} neither got nor was pushed ${id}`).toBe(true);
    }
  }

  // Liveness: when everybody comes back, everything is there, in order, without a hole.
  for (const life of lives) {
    collect(life);
    await open(stage, life);
  }
  await clock.settle();
  for (const life of lives) {
    collect(life);
    const shown = new Map<string, number>();
    const order: string[] = [];
    for (const { id, offset, topic } of life.got) {
      // What a client does: what is at or below its position was there before.
      if (offset <= (shown.get(topic) ?? 0)) continue;
      shown.set(topic, offset);
      order.push(id);
    }
    const expected = published.filter(({ topic }) => reads(life, topic)).map(({ id }) => id);
    expect([...order].sort(), `seed ${seed}: ${life.token} lost or repeated something`).toEqual([...expected].sort());
  }
  await engine.close();
  expect(clock.timers, `seed ${seed}: a timer leaked`).toBe(0);
}

async function open(stage: Stage, life: Life): Promise<void> {
  const cursors = life.device?.cursors ?? [];
  life.device = await stage.device(life.user, { deviceId: life.token, token: life.token, cursors });
  life.collected = 0;
}

/** Notes what the device's current connection brought. */
function collect(life: Life): void {
  if (life.device === undefined) return;
  for (const { id, topic, offset } of life.device.messages.slice(life.collected)) life.got.push({ id, topic, offset });
  life.collected = life.device.messages.length;
}

function reads({ user }: Life, topic: string): boolean {
  return topic === "*/news" || topic === `${user}/default`;
}
