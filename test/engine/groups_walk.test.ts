import { expect, test } from "vitest";
import { MAX_UNSEEN } from "../../src/delivery/unseen.ts";
import type { Cursor } from "../../src/protocol/frames.ts";
import { createStage, Device, seededRandom, type Stage } from "./stage.ts";

const SEEDS = 60;
const EVENTS = 90;
const CHANNELS = ["a", "b", "c", "d"];
const TOPICS = CHANNELS.map((channel) => `*/${channel}`);
const FULL = 900_000;
/** The newer connection won; nothing was confirmed, or read, for a minute; nothing was heard for two heartbeats. */
const LAWFUL = [undefined, 4101, 4002, 4004];

/** One device of one person, through all its connections, as a client would keep its books. */
class Life {
  readonly user: string;
  readonly token: string;
  /** Nothing ever happens to it: always there, visible, quick. */
  readonly steady: boolean;
  device: Device | undefined = undefined;
  /** Where it is in each topic that it reads. */
  readonly at = new Map<string, Cursor>();
  /** What it has confirmed, as topic and offset. */
  readonly confirmed = new Set<string>();
  /** Live messages that came, all connections together. */
  readonly live: string[] = [];
  #unconfirmed: string[] = [];
  #unseen = 0;
  #read = 0;

  constructor(user: string, token: string, steady: boolean) {
    this.user = user;
    this.token = token;
    this.steady = steady;
  }

  async open(stage: Stage): Promise<void> {
    this.read();
    this.#confirm();
    const cursors = [...this.at.values()];
    this.#read = this.#unseen = 0;
    this.device = new Device(stage.engine, stage.clock, this.user, this.token, { cursors });
    await stage.clock.settle();
    this.device.send({ type: "target", ref: 0, provider: "fake", token: this.token, details: null });
    await stage.clock.settle();
  }

  close(clean: boolean): void {
    this.read();
    if (clean) this.device?.leave();
    else this.device?.drop();
    this.device = undefined;
  }

  /** What a client would complain of is an error. */
  read(): void {
    if (this.device === undefined) return;
    const { closedWith, contents, frames, habit } = this.device;
    if (!LAWFUL.includes(closedWith)) throw new Error(`${this.token} was closed with ${closedWith}`);
    let contentsRead = frames.slice(0, this.#read).filter(({ type }) => type === "message" || type === "ephemeral").length;
    for (const frame of frames.slice(this.#read)) {
      switch (frame.type) {
        case "welcome":
          this.at.clear();
          for (const { topic, epoch, offset } of frame.recovery) this.at.set(topic, { topic, epoch, offset });
          break;
        case "subscribed":
          this.at.set(frame.topic, { topic: frame.topic, epoch: frame.epoch, offset: frame.offset });
          break;
        case "unsubscribed":
          this.at.delete(frame.topic);
          break;
        case "ephemeral":
          this.#unseen++;
          if (!this.at.has(frame.topic)) throw new Error(`${this.token} does not read ${frame.topic}`);
          this.live.push(contents[contentsRead++]!);
          break;
        case "message": {
          this.#unseen++;
          contentsRead++;
          const { topic, epoch, offset } = frame;
          const before = this.at.get(topic)?.offset;
          if (before === undefined) throw new Error(`${this.token} does not read ${topic}`);
          if (offset !== before + 1) throw new Error(`${this.token} got ${topic} ${offset} after ${before}`);
          this.at.set(topic, { topic, epoch, offset });
          this.#unconfirmed.push(`${topic} ${offset}`);
          break;
        }
        case "gap":
        case "advance":
          throw new Error(`${this.token} was told of a ${frame.type} in ${frame.topic}`);
      }
    }
    this.#read = frames.length;
    if (habit !== "mute") this.#confirm();
    if (this.#unseen > MAX_UNSEEN) throw new Error(`${this.token} has ${this.#unseen} unseen`);
  }

  /** Says what it has: with an ack, or with the cursors of its next hello. */
  #confirm(): void {
    for (const name of this.#unconfirmed) this.confirmed.add(name);
    this.#unconfirmed = [];
    this.#unseen = 0;
  }
}

test(
  `many who read several channels, whatever happens to them: everything once and in order, or pushed once (${SEEDS} seeds x ${EVENTS} events)`,
  async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      try {
        await walk(seed);
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
    }
  },
  120_000,
);

async function walk(seed: number): Promise<void> {
  const random = seededRandom(seed);
  const below = (limit: number): number => Math.floor(random.fraction() * limit);
  const pick = <T>(values: readonly T[]): T => values[below(values.length)]!;
  const stage = await createStage({ policy: { ackTimeoutMs: 3_000, graceMs: 15_000, coalesceMs: 0 } });
  const { engine, clock, provider } = stage;
  const users = Array.from({ length: 9 }, (_, i) => `user${i}`);
  const lives = [...users, "user7", "user8"].map((user, i) => new Life(user, `token ${i}`, i < 2));
  const restless = lives.filter(({ steady }) => !steady);
  const heads = new Map(TOPICS.map((topic) => [topic, 0]));
  /** By user and topic: the head when the subscription began. */
  const begun = new Map<string, number>();
  const alerts: { topic: string; offset: number }[] = [];
  const spoken: { topic: string; content: string; readers: Set<string> }[] = [];
  let published = 0;

  async function subscribe(user: string, topic: string, anew: boolean): Promise<void> {
    const since = anew ? { since: { epoch: 0, offset: 0 } } : {};
    await engine.subscribe(user, { to: "*", channel: topic.slice(2), ...since });
    begun.set(`${user} ${topic}`, heads.get(topic)!);
  }

  function publish(topic: string): void {
    const content = `${published++}`;
    const kind = pick(["alert", "alert", "alert", "quiet", "inApp", "ephemeral"]);
    const options = kind === "quiet" ? { urgency: "low" as const } : kind === "alert" ? {} : { [kind]: true };
    void engine.publish({ to: "*", channel: topic.slice(2), content, ...options });
    if (kind === "ephemeral") {
      spoken.push({ topic, content, readers: new Set(users.filter((user) => begun.has(`${user} ${topic}`))) });
      return;
    }
    const offset = heads.get(topic)! + 1;
    heads.set(topic, offset);
    if (kind === "alert") alerts.push({ topic, offset });
  }

  for (const user of users) for (const topic of TOPICS.slice(below(3))) await subscribe(user, topic, false);
  for (const life of lives) await life.open(stage);

  for (let event = 0; event < EVENTS; event++) {
    const life = pick(restless);
    const { device } = life;
    const topic = pick(TOPICS);
    switch (
      pick([
        ...["publish", "publish", "publish", "publish", "burst", "burst", "flood", "wait", "wait"] as const,
        ...["open", "leave", "drop", "mute", "wake", "slow", "drain", "state", "state", "subscribe", "unsubscribe"] as const,
      ])
    ) {
      case "publish":
        publish(topic);
        break;
      case "burst":
        for (let i = below(8); i >= 0; i--) publish(pick(TOPICS));
        break;
      case "flood":
        // Now and then more than a window holds, in the tick or over several.
        for (let i = below(random.fraction() < 0.2 ? 900 : 60); i >= 0; i--) publish(topic);
        break;
      case "wait":
        await clock.advance(pick([1, 500, 2_999, 3_001, 16_000]));
        break;
      case "open":
        await life.open(stage);
        break;
      case "leave":
      case "drop":
        life.close(random.fraction() < 0.5);
        break;
      case "mute":
        life.read();
        if (device !== undefined) device.habit = "mute";
        break;
      case "wake":
        if (device?.habit !== "mute" || device.closedWith !== undefined) break;
        device.drained();
        device.habit = "acks";
        device.ack([...life.at.values()]);
        break;
      case "slow":
        life.read();
        if (device === undefined) break;
        // What waits in the buffer is not seen.
        device.habit = "mute";
        device.bufferedAmount = FULL;
        break;
      case "drain":
        device?.drained();
        break;
      case "state":
        device?.state(pick([true, false]));
        break;
      case "subscribe":
        await subscribe(life.user, topic, random.fraction() < 0.3);
        break;
      case "unsubscribe": {
        const user = pick(users);
        await engine.unsubscribe(user, { to: "*", channel: topic.slice(2) });
        begun.delete(`${user} ${topic}`);
      }
    }
    await clock.settle();
    for (const each of lives) each.read();
  }

  // Safety, as it stands: no message is pushed twice to one target, and none to those who saw everything in time.
  await clock.advance(100_000);
  for (const life of lives) life.read();
  const pushes = provider.sent.map(({ token, notification: { topic, position } }) => `${token} ${topic} ${position.offset}`);
  const pushed = new Set(pushes);
  expect(pushes.length, "pushes, each once").toBe(pushed.size);
  // What a push that stands for several may stand for.
  const isInOne = (to: string, name: string): boolean =>
    provider.sent.some(({ token, notification: { topic, position, waiting } }) => {
      const [of, offset] = name.split(" ");
      return token === to && waiting > 1 && topic === of && position.offset > Number(offset);
    });
  for (const { steady, token } of lives) {
    if (steady) expect(pushes.filter((push) => push.startsWith(`${token} `)), `pushes to ${token}`).toEqual([]);
  }
  for (const { confirmed, token, user } of lives) {
    const told = alerts.filter(({ topic, offset }) => offset > (begun.get(`${user} ${topic}`) ?? Infinity));
    const untold = told.map(({ topic, offset }) => `${topic} ${offset}`)
      .filter((name) => !confirmed.has(name) && !pushed.has(`${token} ${name}`) && !isInOne(token, name));
    expect(untold, `neither confirmed by nor pushed to ${token}`).toEqual([]);
  }

  // Live messages: to those who were there exactly once.
  for (const { live, steady, token, user } of lives) {
    expect(new Set(live).size, `${token} got ephemeral messages twice`).toBe(live.length);
    if (!steady) continue;
    const expected = spoken.filter(({ readers }) => readers.has(user)).map(({ content }) => content);
    expect([...live].sort(), `ephemeral messages of ${token}`).toEqual(expected.sort());
  }

  // Liveness: when everybody comes back, everybody is at the head of all they read.
  for (const life of lives) await life.open(stage);
  for (const life of lives) {
    life.read();
    const where = [...life.at.values()].filter(({ topic }) => heads.has(topic)).map(({ topic, offset }) => `${topic} ${offset}`);
    const expected = TOPICS.filter((topic) => begun.has(`${life.user} ${topic}`)).map((topic) => `${topic} ${heads.get(topic)}`);
    expect(where.sort(), life.token).toEqual(expected);
  }
  await engine.close();
  expect(clock.timers, "timers left").toBe(0);
}
