import { afterEach, describe, expect, test } from "vitest";
import { memory, type Storage } from "../../mod.ts";
import { createLives, type Lives } from "./lives.ts";
import { createStage, type Stage } from "./stage.ts";

const stages: Stage[] = [];

afterEach(async () => {
  for (const { engine } of stages.splice(0)) await engine.close();
});

/** What is read of a log at a time, bytes. */
const MOST = 256 * 1024;
const LONG = "x".repeat(60_000);
const NEWS = { to: "*", channel: "news" };

interface Read {
  readonly after: number;
  readonly limit: number;
  readonly bytes: number;
}

/** A storage that counts the bytes of each read of a log. Engines that follow one another share it. */
function counting(): { storage: Storage; reads: Read[]; puts(): number } {
  const reads: Read[] = [];
  let puts = 0;
  let kept: ReturnType<Storage["open"]> | undefined;
  const storage: Storage = {
    async open(context) {
      const opened = await (kept ??= memory().open(context));
      return {
        ...opened,
        history: {
          async read(topic, after, limit, maxBytes) {
            const page = await opened.history!.read(topic, after, limit, maxBytes);
            reads.push({ after, limit, bytes: page.entries.reduce((sum, { bytes }) => sum + bytes.length, 0) });
            return page;
          },
        },
        users: new Proxy(opened.users, {
          get(target, name) {
            if (name === "put") puts++;
            const value = Reflect.get(target, name) as unknown;
            return typeof value === "function" ? value.bind(target) : value;
          },
        }),
        close: () => Promise.resolve(),
      };
    },
  };
  return { storage, reads, puts: () => puts };
}

/** All of them together are more than may be read at a time, and no single read is. */
function expectBounded(reads: readonly Read[]): void {
  expect(reads.reduce((sum, { bytes }) => sum + bytes, 0)).toBeGreaterThan(MOST);
  expect(Math.max(...reads.map(({ bytes }) => bytes))).toBeLessThanOrEqual(MOST);
}

const names = (count: number, from = 1): string[] => Array.from({ length: count }, (_, index) => `${from + index}`);

function asked({ provider }: Pick<Lives, "provider">): string[] {
  return provider.sent.map(({ notification: { id, waiting } }) => waiting === 1 ? id : `${id} for ${waiting}`);
}

test("receipts of what is not remembered are named from the log in bounded pieces, each once", async () => {
  const { reads, storage } = counting();
  const stage = await createStage({ storage });
  stages.push(stage);
  const phone = await stage.device("sara", { habit: "sees" });
  const delivered: string[] = [];
  stage.engine.on("receipt", ({ kind, id }) => kind === "delivered" && delivered.push(id));
  for (const id of names(1_300)) await stage.engine.publish({ to: "sara", content: "x".repeat(2_000), id });
  await stage.clock.settle();
  reads.length = 0;
  phone.ack(phone.cursors.map((cursor) => ({ ...cursor, offset: 1_200 })));
  await stage.clock.settle();
  expect(delivered.toSorted()).toEqual(names(1_200).toSorted());
  expectBounded(reads);
});

describe("pushes are decided about in bounded pieces", () => {
  async function lives(): Promise<{ reads: Read[]; puts(): number; lives: Lives }> {
    const { puts, reads, storage } = counting();
    const lives = await createLives({ storage, policy: { coalesceMs: 0 } });
    await lives.engine.subscribe("sara", NEWS);
    lives.provider.verdict = () => ({ verdict: "retry", afterMs: 600_000, reason: "off" });
    return { reads, puts, lives };
  }

  /** Nothing of it is left undecided when the provider is well again. */
  async function healed(lives: Lives): Promise<string[]> {
    lives.provider.verdict = () => ({ verdict: "sent" });
    lives.provider.sent.length = 0;
    await lives.clock.advance(1_300_000);
    return asked(lives);
  }

  test("when a device leaves", async () => {
    const { lives: all, puts, reads } = await lives();
    const phone = await all.sara("phone", { habit: "mute", token: "phone" });
    for (const id of names(40)) await all.engine.publish({ to: "sara", content: "hi", data: LONG, id });
    reads.length = 0;
    const before = puts();
    phone.leave();
    await all.clock.settle();
    expectBounded(reads);
    expect(puts() - before, "writes: no more than if they were short").toBeLessThan(5);
    expect(await healed(all)).toEqual([...names(20), "40 for 20"]);
  });

  test("of a private topic", async () => {
    const { lives: all, reads } = await lives();
    (await all.sara("phone", { token: "phone" })).leave();
    await all.clock.settle();
    reads.length = 0;
    await Promise.all(names(40).map((id) => all.engine.publish({ to: "sara", content: "hi", data: LONG, id })));
    await all.clock.settle();
    expectBounded(reads);
    expect(await healed(all)).toEqual([...names(20), "40 for 20"]);
  });

  test("of a public topic, and what one push stands for is counted so", async () => {
    const { lives: all, reads } = await lives();
    (await all.sara("phone", { token: "phone" })).leave();
    await all.clock.settle();
    reads.length = 0;
    await Promise.all(names(40).map((id) => all.engine.publish({ ...NEWS, content: "hi", data: LONG, id })));
    await all.clock.settle();
    expectBounded(reads);
    reads.length = 0;
    expect(await healed(all)).toEqual([...names(3), "40 for 37"]);
    expectBounded(reads);
  });

  test("of what waits in the log for a slow reader", async () => {
    const { lives: all, reads } = await lives();
    const phone = await all.sara("phone", { habit: "mute", token: "phone" });
    phone.bufferedAmount = 2 ** 20;
    for (const id of names(40)) await all.engine.publish({ to: "sara", content: "hi", data: LONG, id });
    await all.clock.advance(10_000);
    expectBounded(reads);
    expect((await healed(all)).at(-1)).toBe("40 for 20");
  });
});

test("of a coalesced push the messages are read in bounded pieces", async () => {
  const { reads, storage } = counting();
  const lives = await createLives({ storage });
  (await lives.sara("phone", { token: "phone" })).leave();
  await lives.clock.settle();
  for (const id of names(15)) await lives.say(id, { data: LONG, urgency: "low" });
  reads.length = 0;
  await lives.clock.advance(600_000);
  expect(asked(lives)).toEqual(["1 for 15"]);
  expectBounded(reads);
});

test("a push that stands for several has the words of the newest that is left", async () => {
  const { storage } = counting();
  const lives = await createLives({ storage, policy: { coalesceMs: 0 } });
  await lives.engine.subscribe("sara", NEWS);
  (await lives.sara("phone", { token: "phone" })).leave();
  await lives.clock.settle();
  lives.provider.verdict = () => ({ verdict: "retry", afterMs: 600_000, reason: "off" });
  for (const id of names(6)) await lives.say(id, { ...NEWS, notification: { title: `title ${id}` } });
  await lives.say("brief", { ...NEWS, ttl: 60, notification: { title: "brief" } });
  lives.provider.verdict = () => ({ verdict: "sent" });
  lives.provider.sent.length = 0;
  await lives.clock.advance(1_300_000);
  const { id, alert, waiting } = lives.provider.sent.at(-1)!.notification;
  expect([id, alert?.title, waiting]).toEqual(["6", "title 6", 3]);
});
