import { describe, expect, test } from "vitest";
import { memory, type OpenStorage, PeykError, type Storage } from "../../mod.ts";
import { createLives, type Lives } from "./lives.ts";
import type { Device, DeviceOptions } from "./stage.ts";

const NEWS = { to: "*", channel: "news" };
/** A device that is awaited for that long gets no rows: what is counted here are acks. */
const PATIENT = { policy: { graceMs: 3_600_000, ackTimeoutMs: 600_000 } };

/** Counts the puts of a user's record. */
interface Counted {
  lives: Lives;
  /** How many there were since the last question. */
  puts(): number;
  /** So many of the next ones are refused. */
  refuse(times: number): void;
}

async function counting(durable: boolean, options = {}): Promise<Counted> {
  let count = 0;
  let refused = 0;
  const storage: Storage = {
    async open(context) {
      const opened = await memory().open(context);
      const put: OpenStorage["users"]["put"] = (...args) => {
        count++;
        if (refused-- > 0) return Promise.reject(new PeykError("unavailable", "not now", { retryable: true }));
        return opened.users.put(...args);
      };
      return { ...opened, transport: over(opened.transport, { durable }), users: over(opened.users, { put }) };
    },
  };
  const lives = await createLives({ storage, ...options });
  await lives.engine.subscribe("sara", NEWS);
  const puts = (): number => {
    const counted = count;
    count = 0;
    return counted;
  };
  return { lives, puts, refuse: (times) => void (refused = times) };
}

function over<Port extends object>(port: Port, fields: Partial<Port>): Port {
  return new Proxy(port, {
    get(target, name) {
      if (name in fields) return fields[name as keyof Port];
      const value = Reflect.get(target, name, target) as unknown;
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

const topics = [["a private topic", {}], ["a public topic", NEWS]] as const;

describe.each(topics)("acks of messages of %s", (_, to) => {
  async function two(durable: boolean, laptopOptions: DeviceOptions = { attended: true }): Promise<Counted & { laptop: Device }> {
    const counted = await counting(durable, PATIENT);
    await counted.lives.sara("phone", { token: "phone" });
    const laptop = await counted.lives.sara("laptop", laptopOptions);
    await counted.lives.clock.advance(2_000);
    counted.puts();
    return { ...counted, laptop };
  }

  test("cost one put per second and user where the storage survives a crash, however many and at however many devices", async () => {
    for (const laptop of [{ attended: true }, { idleMs: 45_000 }, {}, { visible: false }]) {
      const { lives, puts } = await two(true, laptop);
      for (let index = 0; index < 100; index++) await lives.say(`${index}`, { ...to, inApp: true });
      expect(puts()).toBe(0);
      await lives.clock.advance(1_000);
      expect(puts()).toBe(1);
      for (let second = 0; second < 10; second++) {
        for (let index = 0; index < 4; index++) {
          await lives.say(`${second}.${index}`, { ...to, inApp: true });
          await lives.clock.advance(250);
        }
      }
      await lives.clock.advance(2_000);
      expect(puts()).toBeLessThanOrEqual(11);
    }
  });

  test("are written again a second later when that failed, until it succeeds", async () => {
    const { lives, puts, refuse } = await two(true);
    await lives.say("hi", to);
    refuse(3);
    for (let times = 0; times < 4; times++) {
      await lives.clock.advance(1_000);
      expect(puts()).toBe(1);
    }
    await lives.clock.advance(10_000);
    expect(puts()).toBe(0);
  });

  test("cost no put where it does not survive one anyway", async () => {
    const { lives, puts } = await two(false);
    for (let index = 0; index < 100; index++) await lives.say(`${index}`, to);
    await lives.clock.advance(10_000);
    expect(puts()).toBe(0);
  });

  test("cost one put when the device leaves its line", async () => {
    for (const durable of [true, false]) {
      const { lives, puts, laptop } = await two(durable);
      await lives.say("hi", to);
      laptop.drop();
      await lives.clock.advance(2_000);
      // The phone's own is written behind, where that makes sense.
      expect(puts()).toBeLessThanOrEqual(durable ? 2 : 1);
    }
  });
});

describe("what a person dealt with costs no put of its own", () => {
  async function idle(other: DeviceOptions | undefined): Promise<Counted & { laptop: Device }> {
    const counted = await counting(true, PATIENT);
    if (other !== undefined) await counted.lives.sara("other", { ...other, habit: "mute" });
    const laptop = await counted.lives.sara("laptop", { idleMs: 45_000, token: "laptop" });
    await counted.lives.say("hi");
    await counted.lives.clock.advance(2_000);
    counted.puts();
    laptop.state(true, true);
    await counted.lives.clock.advance(2_000);
    return { ...counted, laptop };
  }

  test.each<[string, DeviceOptions | undefined]>([["there is no other device", undefined], [
    "the other device has no target",
    {},
  ]])(
    "when %s, input behind an ack is not written",
    async (_, other) => {
      const { puts } = await idle(other);
      expect(puts()).toBe(0);
    },
  );

  test("when another device has a target, input behind an ack is one put", async () => {
    const { puts } = await idle({ token: "other" });
    expect(puts()).toBe(1);
  });

  test("what the app fails on, and acks, is one put", async () => {
    const { lives, puts, laptop } = await idle({});
    puts();
    laptop.habit = "sees";
    await lives.say("fails");
    const { topic, epoch, offset } = laptop.of("message").at(-1)!;
    laptop.send({ type: "failed", topic, epoch, offset, reason: "threw" });
    laptop.ack(laptop.cursors);
    await lives.clock.advance(5_000);
    expect(puts()).toBe(1);
  });

  test("an ack that says nothing new is not written", async () => {
    const { lives, puts, laptop } = await idle({ token: "other" });
    puts();
    for (let times = 0; times < 10; times++) laptop.ack(laptop.cursors);
    laptop.state(true, true);
    await lives.clock.advance(5_000);
    expect(puts()).toBe(0);
  });
});

describe("while pushes wait", () => {
  test("an ack is stored at once, in one put, beside the one that made the push", async () => {
    for (const durable of [true, false]) {
      const { lives, puts } = await counting(durable);
      (await lives.sara("phone", { token: "phone" })).leave();
      const laptop = await lives.sara("laptop", { attended: true, habit: "sees" });
      await lives.say("one", { urgency: "low" });
      await lives.clock.advance(2_000);
      puts();
      laptop.ack(laptop.cursors);
      await lives.clock.settle();
      expect(puts()).toBe(1);
      await lives.clock.advance(30_000);
      expect(puts()).toBe(0);
    }
  });

  test("twenty messages, each acked as it comes, cost at most two puts each", async () => {
    const { lives, puts } = await counting(true);
    (await lives.sara("phone", { token: "phone" })).leave();
    await lives.sara("laptop", { attended: true });
    await lives.clock.advance(2_000);
    puts();
    for (let index = 0; index < 20; index++) {
      await lives.say(`${index}`);
      await lives.clock.advance(1_000);
    }
    expect(puts()).toBeLessThanOrEqual(40);
    expect(lives.pushed()).toEqual([]);
  });
});

describe.each(topics)("a mark of a message of %s", (_, to) => {
  test.each(["read", "dismissed"] as const)("'%s' is one put; said again it is none", async (kind) => {
    for (const durable of [true, false]) {
      for (const waits of [true, false]) {
        const { lives, puts } = await counting(durable);
        const phone = await lives.sara("phone", { token: "phone" });
        if (waits) phone.leave();
        const laptop = await lives.sara("laptop");
        await lives.say("hi", { ...to, urgency: "low" });
        await lives.clock.advance(2_000);
        puts();
        const { topic, epoch, offset } = laptop.of("message")[0]!;
        for (const expected of [1, 0]) {
          await laptop.request({ type: "mark", ref: 0, kind, topic, epoch, offset });
          await lives.clock.advance(2_000);
          expect(puts()).toBe(expected);
        }
      }
    }
  });
});
