import { expect, test } from "vitest";
import type { Storage } from "../../mod.ts";
import { memory } from "../../src/memory/memory.ts";
import type { TopicListener } from "../../src/ports/transport.ts";
import { createStage, type Device } from "./stage.ts";

/** A log that is not read while `held`, on a transport that does not always bring what comes in it. */
interface Faulty {
  /** What becomes of entries on their way to this node. */
  entries: "come" | "wait" | "are lost";
  held: Promise<void> | undefined;
  readonly storage: Storage;
  /** The transport finds out what it missed. */
  gap(): void;
  /** What waits comes now. */
  arrive(): void;
}

/** @param keeps whether what was published can be read again */
function createFaulty(keeps = true): Faulty {
  const listeners: TopicListener[] = [];
  const waiting: (() => void)[] = [];
  const faulty: Faulty = {
    entries: "come",
    held: undefined,
    gap: () => listeners.forEach((listener) => listener.gap()),
    arrive() {
      faulty.entries = "come";
      for (const come of waiting.splice(0)) come();
    },
    storage: {
      async open(context) {
        const { history, transport, work, ...rest } = await memory().open(context);
        return {
          ...rest,
          transport: {
            durable: transport.durable,
            publish: (topic, bytes, options) => transport.publish(topic, bytes, options),
            signal: (topic, bytes) => transport.signal(topic, bytes),
            subscribe(topic, listener) {
              if (topic === "*/news") listeners.push(listener);
              return transport.subscribe(topic, {
                entry(entry) {
                  if (entry.topic !== "*/news" || faulty.entries === "come") listener.entry(entry);
                  else if (faulty.entries === "wait") waiting.push(() => listener.entry(entry));
                },
                signal: (bytes) => listener.signal?.(bytes),
                gap: () => listener.gap(),
              });
            },
          },
          ...(keeps && {
            work: work!,
            history: {
              async read(topic, after, limit) {
                await faulty.held;
                return await history!.read(topic, after, limit);
              },
            },
          }),
        };
      },
    },
  };
  return faulty;
}

test("what a group missed it reads from the log, each of it once and in order, whatever comes meanwhile", async () => {
  const faulty = createFaulty();
  const stage = await createStage({ storage: faulty.storage });
  const { engine, clock } = stage;
  const say = (content: string, live = false): void =>
    void engine.publish({ to: "*", channel: "news", content, ephemeral: live });
  const devices: Device[] = [];
  for (const user of ["ada", "bo", "cy"]) {
    await engine.subscribe(user, { to: "*", channel: "news" });
    devices.push(await stage.device(user));
  }
  const [ada] = devices as [Device];
  say("0");
  await clock.settle();
  ada.habit = "mute";
  say("1");
  await clock.settle();
  faulty.entries = "are lost";
  say("2");
  await clock.settle();
  faulty.entries = "come";
  // Nobody knows yet where the log is, and in the same tick the next one comes.
  let release!: () => void;
  faulty.held = new Promise((resolve) => release = resolve);
  faulty.gap();
  say("3");
  await clock.settle();
  // Somebody is at what this node takes for the head, until it hears better.
  ada.ack();
  say("live", true);
  await clock.settle();
  say("live again", true);
  await clock.settle();
  release();
  faulty.held = undefined;
  await clock.settle();
  say("4");
  await clock.settle();
  say("5");
  await clock.settle();
  for (const { closedWith, contents, offsets } of devices) {
    expect(offsets).toEqual([1, 2, 3, 4, 5, 6]);
    expect(contents.filter((content) => content?.startsWith("live"))).toEqual(["live", "live again"]);
    expect(closedWith).toBeUndefined();
  }
  ada.ack();
  await clock.advance(30_000);
  expect(devices.map(({ closedWith }) => closedWith)).toEqual([undefined, undefined, undefined]);
  await engine.close();
  expect(clock.timers).toBe(0);
});

test("readers who come abreast while the log is asked what was missed go on from the log as well", async () => {
  const faulty = createFaulty();
  const stage = await createStage({ storage: faulty.storage });
  const { engine, clock } = stage;
  const devices: Device[] = [];
  for (const user of ["ada", "bo"]) {
    await engine.subscribe(user, { to: "*", channel: "news" });
    devices.push(await stage.device(user));
  }
  const say = async (content: string, live = false): Promise<void> => {
    await engine.publish({ to: "*", channel: "news", content, ephemeral: live });
    await clock.settle();
  };
  await say("0");
  faulty.entries = "are lost";
  for (const content of ["1", "2", "3"]) await say(content);
  let release!: () => void;
  faulty.held = new Promise((resolve) => release = resolve);
  faulty.gap();
  // As far as this node knows they are at the head: they join it, and an ephemeral message finds them alike.
  for (const device of devices) device.drained();
  await say("live", true);
  release();
  faulty.held = undefined;
  await clock.settle();
  faulty.entries = "come";
  await say("4");
  for (const { contents, offsets } of devices) {
    expect(offsets).toEqual([1, 2, 3, 4, 5]);
    expect(contents).toEqual(["0", "live", "1", "2", "3", "4"]);
  }
  expect(engine.counters().diverted).toBe(0);
  await engine.close();
  expect(clock.timers).toBe(0);
});

test("ephemeral messages that come while two read the log do not bring them abreast: each reads it once, and goes on", async () => {
  const faulty = createFaulty();
  const { clock, device, engine } = await createStage({ storage: faulty.storage });
  const news = { to: "*", channel: "news" };
  const users = ["ada", "bo"];
  for (const content of ["0", "1", "2"]) await engine.publish({ ...news, content });
  const devices = await Promise.all(users.map((user) => device(user)));
  let release!: () => void;
  faulty.held = new Promise((resolve) => release = resolve);
  for (const user of users) await engine.subscribe(user, { ...news, since: { epoch: 0, offset: 0 } });
  for (const content of ["live", "live again"]) {
    await engine.publish({ ...news, content, ephemeral: true });
    await clock.settle();
  }
  release();
  faulty.held = undefined;
  await clock.settle();
  await engine.publish({ ...news, content: "3" });
  await clock.settle();
  for (const { contents } of devices) expect(contents).toEqual(["live", "live again", "0", "1", "2", "3"]);
});

test("readers who are abreast, and further than this node was told of, get nothing that they have once more", async () => {
  const faulty = createFaulty();
  const { clock, device, engine } = await createStage({ storage: faulty.storage });
  const say = async (content: string, live = false): Promise<void> => {
    await engine.publish({ to: "*", channel: "news", content, ephemeral: live });
    await clock.settle();
  };
  const users = ["ada", "bo", "cy"];
  for (const user of users) await engine.subscribe(user, { to: "*", channel: "news" });
  const [before] = await Promise.all(users.map((user) => device(user)));
  await say("0");
  faulty.entries = "wait";
  for (const content of ["1", "2"]) await say(content);
  // Another node told them of these two.
  const cursors = before!.cursors.map((cursor) => ({ ...cursor, offset: cursor.offset + 2 }));
  // Two groups: one of those who look, one of those who do not.
  const devices = await Promise.all(users.map((user) => device(user, { cursors, visible: user !== "cy" })));
  await say("live", true);
  faulty.arrive();
  await clock.settle();
  await say("3");
  for (const { contents, offsets } of devices) {
    expect(contents).toEqual(["live", "3"]);
    expect(offsets).toEqual([4]);
  }
});

test("where nothing is kept, each of a group is told of what the transport missed", async () => {
  const faulty = createFaulty(false);
  const { clock, device, engine } = await createStage({ storage: faulty.storage });
  const say = async (content: string): Promise<void> => {
    await engine.publish({ to: "*", channel: "news", content, ephemeral: true });
    await clock.settle();
  };
  const users = ["ada", "bo"];
  for (const user of users) await engine.subscribe(user, { to: "*", channel: "news" });
  const devices = await Promise.all(users.map((user) => device(user)));
  for (const content of ["0", "1"]) await say(content);
  faulty.gap();
  await say("2");
  for (const device of devices) {
    expect(device.of("gap").map(({ topic }) => topic)).toEqual(["*/news"]);
    expect(device.contents).toEqual(["0", "1", "2"]);
  }
});
