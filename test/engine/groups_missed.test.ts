import { expect, test } from "vitest";
import type { Storage } from "../../mod.ts";
import { memory } from "../../src/memory/memory.ts";
import type { TopicListener } from "../../src/ports/transport.ts";
import { createStage, type Device } from "./stage.ts";

/** A log whose entries do not reach this node while `deaf`, and that is not read while `held`. */
interface Faulty {
  deaf: boolean;
  held: Promise<void> | undefined;
  readonly storage: Storage;
  /** The transport finds out what it missed. */
  gap(): void;
}

function createFaulty(): Faulty {
  const listeners: TopicListener[] = [];
  const faulty: Faulty = {
    deaf: false,
    held: undefined,
    gap: () => listeners.forEach((listener) => listener.gap()),
    storage: {
      async open(context) {
        const opened = await memory().open(context);
        const { transport, history } = opened;
        return {
          ...opened,
          transport: {
            durable: transport.durable,
            publish: (topic, bytes, options) => transport.publish(topic, bytes, options),
            signal: (topic, bytes) => transport.signal(topic, bytes),
            subscribe(topic, listener) {
              if (topic === "*/news") listeners.push(listener);
              return transport.subscribe(topic, {
                entry(entry) {
                  if (!faulty.deaf || entry.topic !== "*/news") listener.entry(entry);
                },
                signal: (bytes) => listener.signal?.(bytes),
                gap: () => listener.gap(),
              });
            },
          },
          history: {
            async read(topic, after, limit) {
              await faulty.held;
              return await history!.read(topic, after, limit);
            },
          },
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
  const say = (content: string, live = false): void => void engine.publish({ to: "*", channel: "news", content, live });
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
  faulty.deaf = true;
  say("2");
  await clock.settle();
  faulty.deaf = false;
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
    await engine.publish({ to: "*", channel: "news", content, live });
    await clock.settle();
  };
  await say("0");
  faulty.deaf = true;
  for (const content of ["1", "2", "3"]) await say(content);
  let release!: () => void;
  faulty.held = new Promise((resolve) => release = resolve);
  faulty.gap();
  // As far as this node knows they are at the head: they join it, and a live message finds them alike.
  for (const device of devices) device.drained();
  await say("live", true);
  release();
  faulty.held = undefined;
  await clock.settle();
  faulty.deaf = false;
  await say("4");
  for (const { contents, offsets } of devices) {
    expect(offsets).toEqual([1, 2, 3, 4, 5]);
    expect(contents).toEqual(["0", "live", "1", "2", "3", "4"]);
  }
  expect(engine.counters().diverted).toBe(0);
  await engine.close();
  expect(clock.timers).toBe(0);
});
