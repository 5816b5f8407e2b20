import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { type HistoryPage, memory, type Storage } from "../../mod.ts";
import { createStage, Device, type DeviceOptions } from "./stage.ts";

interface Read {
  readonly topic: string;
  readonly after: number;
  readonly limit: number;
  readonly page: HistoryPage;
}

/** A storage that writes down which pages were read. Its answers take a turn of the event loop, as from a server. */
function watchedStorage(): { storage: Storage; reads: Read[] } {
  const reads: Read[] = [];
  const storage: Storage = {
    async open(context) {
      const opened = await memory().open(context);
      const history = opened.history!;
      return {
        ...opened,
        history: {
          async read(topic, after, limit, maxBytes) {
            await setImmediate();
            const page = await history.read(topic, after, limit, maxBytes);
            reads.push({ topic, after, limit, page });
            return page;
          },
        },
      };
    },
  };
  return { storage, reads };
}

/** Reads that looked for more than where something stands. */
function pagesOf(reads: readonly Read[]): Read[] {
  return reads.filter(({ limit }) => limit > 1);
}

function bytesOf({ page }: Read): number {
  return page.entries.reduce((sum, { bytes }) => sum + bytes.length, 0);
}

function upTo(count: number, from = 1): number[] {
  return Array.from({ length: count }, (_, index) => from + index);
}

const ROOM = { to: "*", channel: "room" };

/** Users who were in the room and left, with so much published since; some of it may live for some seconds only. */
async function roomWith(
  users: number,
  missed: number,
  bytes: number,
  ttl: (index: number) => number | undefined = () => undefined,
) {
  const { storage, reads } = watchedStorage();
  const stage = await createStage({ storage });
  const names = Array.from({ length: users }, (_, index) => `user ${index}`);
  let epoch = 0;
  for (const name of names) {
    ({ epoch } = await stage.engine.subscribe(name, ROOM));
    (await stage.device(name)).leave();
  }
  await stage.clock.settle();
  for (let index = 1; index <= missed; index++) {
    const seconds = ttl(index);
    await stage.engine.publish({ ...ROOM, content: "x".repeat(bytes), ...(seconds === undefined ? {} : { ttl: seconds }) });
  }
  await stage.clock.settle();
  reads.length = 0;
  const back = (options?: DeviceOptions): Promise<Device[]> => Promise.all(names.map((name) => stage.device(name, options)));
  return { ...stage, reads, names, epoch, back };
}

test("what is long is read in pieces that are bounded in bytes", async () => {
  const { back, engine, reads } = await roomWith(1, 20, 60_000);
  const [device] = await back();
  expect(device!.offsets).toEqual(upTo(20));
  const pages = pagesOf(reads);
  expect(pages.map(bytesOf).every((bytes) => bytes > 0 && bytes <= 128 * 1024)).toBe(true);
  expect(pages.length).toBe(10);
  await engine.close();
});

test("what many read at about the same time is read once, and is the same bytes for all", async () => {
  const { back, clock, engine, reads } = await roomWith(40, 250, 10);
  const devices = await back();
  for (const device of devices) expect(device.offsets).toEqual(upTo(250));
  expect(pagesOf(reads).map(({ after }) => after)).toEqual([0, 100, 200]);
  await engine.close();
  expect(clock.timers).toBe(0);
});

test("what was read for others is not kept for long", async () => {
  const { back, clock, engine, reads } = await roomWith(3, 250, 10);
  for (const device of await back({ habit: "mute" })) device.drop();
  expect(pagesOf(reads).length).toBe(3);
  await clock.advance(500);
  for (const device of await back({ habit: "mute" })) device.drop();
  expect(pagesOf(reads).length).toBe(3);
  expect(engine.counters().bytes.pages).toBeGreaterThan(250 * 100);
  await clock.advance(1_000);
  expect(engine.counters().bytes.pages).toBe(0);
  for (const device of await back()) expect(device.offsets).toEqual(upTo(250));
  expect(pagesOf(reads).length).toBe(6);
  await engine.close();
});

test("who stands in the middle of what was read for others goes on there", async () => {
  const { clock, device, engine, epoch, names, reads } = await roomWith(4, 90, 10);
  const after = [0, 10, 50, 89];
  for (const [index, offset] of after.entries()) {
    const { offsets } = await device(names[index]!, { cursors: [{ topic: "*/room", epoch, offset }] });
    expect(offsets).toEqual(upTo(90 - offset, offset + 1));
  }
  // The first one was alone: what it read was kept for nobody.
  expect(pagesOf(reads).map(({ after }) => after)).toEqual([0, 10]);
  await engine.close();
  expect(clock.timers).toBe(0);
});

test("what expired is counted for each of those who read the same", async () => {
  const { clock, device, engine, epoch, names } = await roomWith(6, 30, 10, (index) => index % 3 === 0 ? 5 : undefined);
  await clock.advance(6_000);
  const kept = upTo(30).filter((offset) => offset % 3 !== 0);
  const expiredOf = (device: Device): number => device.of("advance").reduce((sum, { expired }) => sum + expired, 0);
  for (const returned of await Promise.all(names.slice(1).map((name) => device(name)))) {
    expect(returned.offsets).toEqual(kept);
    expect(expiredOf(returned)).toBe(10);
  }
  const further = await device(names[0]!, { cursors: [{ topic: "*/room", epoch, offset: 10 }] });
  expect(further.offsets).toEqual(kept.filter((offset) => offset > 10));
  expect(expiredOf(further)).toBe(7);
  await engine.close();
});

test("however many return, little is written in one turn of the event loop", async () => {
  const { back, clock, engine } = await roomWith(60, 100, 10);
  const settled = back();
  let before = engine.counters().delivered;
  let most = 0;
  let isDone = false;
  void settled.then(() => isDone = true);
  while (!isDone) {
    await setImmediate();
    const { delivered } = engine.counters();
    most = Math.max(most, delivered - before);
    before = delivered;
  }
  await clock.settle();
  expect(engine.counters().delivered).toBe(6_000);
  // A turn of the test may see two of the engine's.
  expect(most).toBeLessThanOrEqual(2 * 4 * 100);
  await engine.close();
});

test("however many return, few are attached in one turn of the event loop", async () => {
  const { clock, engine } = await createStage();
  for (let index = 0; index < 400; index++) new Device(engine, clock, `user ${index}`, `device ${index}`, {});
  let most = 0;
  for (let before = 0; before < 400;) {
    await setImmediate();
    const { attached } = engine.counters();
    most = Math.max(most, attached - before);
    before = attached;
  }
  expect(most).toBeLessThanOrEqual(2 * 32);
  await engine.close();
});

test("who missed little does not wait for those who missed much", async () => {
  const { back, clock, engine, names } = await roomWith(40, 1_500, 10);
  await engine.publish({ to: "sara", content: "hi" });
  await clock.settle();
  const { delivered } = engine.counters();
  const all = back();
  const sara = new Device(engine, clock, "sara", "phone", {});
  while (sara.contents.length === 0) await setImmediate();
  // Each of them may have had a page or two.
  expect(engine.counters().delivered - delivered).toBeLessThanOrEqual(names.length * 200 + 1);
  for (const device of await all) expect(device.offsets).toEqual(upTo(1_500));
  await engine.close();
});

test("entries that come while many catch up are in their place, once", async () => {
  const { back, clock, engine } = await roomWith(20, 300, 10);
  const settled = back();
  for (let index = 0; index < 50; index++) {
    await engine.publish({ ...ROOM, content: `later ${index}` });
    if (index % 5 === 0) await setImmediate();
  }
  for (const device of await settled) {
    await clock.settle();
    expect(device.offsets).toEqual(upTo(350));
  }
  await engine.close();
});
