import { describe, expect, test } from "vitest";
import { type EngineOptions, memory, type OpenStorage, PeykError, type Storage } from "../../mod.ts";
import { encodePayload } from "../../src/protocol/codec.ts";
import type { ClientFrame } from "../../src/protocol/frames.ts";
import { FakeProvider } from "../engine/stage.ts";
import { type Bench, createBench, type Wire } from "./wire.ts";

const NEWS = "*/news";
const HOUR_MS = 3600_000;

/** A device whose requests stand in a line. */
class Tab {
  readonly #line: string;
  wire: Wire;

  constructor(wire: Wire, line = "a line of this tab") {
    this.wire = wire;
    this.#line = line;
  }

  /** The number is the ref too. */
  say(number: number, frame: Asked, ageMs = 0): void {
    this.wire.send({ ...frame, ref: number, line: { id: this.#line, number, ageMs, user: "sara" } } as ClientFrame);
  }

  /** ok, the error's code, or that there is no answer. */
  answer(number: number): unknown {
    const answer = this.wire.answer(number);
    return answer === undefined ? "none" : answer.type === "ok" ? "ok" : answer.code;
  }
}

type Asked =
  | Pick<Extract<ClientFrame, { type: "subscribe" }>, "type" | "topic" | "since" | "anew">
  | Pick<Extract<ClientFrame, { type: "unsubscribe" }>, "type" | "topic">
  | Pick<Extract<ClientFrame, { type: "publish" }>, "type" | "topic" | "id" | "options" | "payload">
  | Pick<Extract<ClientFrame, { type: "target" }>, "type" | "provider" | "token" | "details">;

const join: Asked = { type: "subscribe", topic: NEWS, since: null, anew: false };
const leave: Asked = { type: "unsubscribe", topic: NEWS };
const publish = (id: string, options: Extract<Asked, { type: "publish" }>["options"] = null, topic = NEWS): Asked => ({
  ...{ type: "publish", topic, id, options },
  payload: encodePayload(id, undefined),
});
const target = (token: string | null): Asked => ({ type: "target", provider: "fake", token, details: null });

/** Each answer to authorize takes less time than the one before. */
function shorterEachTime(bench: () => Bench): NonNullable<EngineOptions["authorize"]> {
  let ms = 500;
  return async () => {
    ms -= 100;
    await new Promise<void>((resolve) => bench().clock.setTimeout(resolve, Math.max(0, ms)));
    return true;
  };
}

async function open(options: EngineOptions = {}): Promise<Bench & { tab: Tab; again(): Promise<void> }> {
  const bench = await createBench({ push: [new FakeProvider()], ...options });
  const tab = new Tab(await bench.open("sara"));
  return {
    ...bench,
    tab,
    async again() {
      tab.wire.drop();
      tab.wire = await bench.open("sara");
    },
  };
}

describe("order in a line", () => {
  test("holds through authorize(): subscribe, unsubscribe, subscribe, publish", async () => {
    const bench: Bench & { tab: Tab } = await open({ authorize: shorterEachTime(() => bench) });
    const { clock, tab } = bench;
    for (const [index, asked] of [join, leave, join, publish("one"), publish("two"), leave].entries()) tab.say(index + 1, asked);
    await clock.advance(5_000);
    expect([1, 2, 3, 4, 5, 6].map((number) => tab.answer(number))).toEqual(Array(6).fill("ok"));
    expect(tab.wire.contents).toEqual(["one", "two"]);
    await bench.engine.publish({ to: "*", channel: "news", content: "three" });
    await clock.settle();
    expect(tab.wire.contents).toEqual(["one", "two"]);
  });

  test("holds through the rate limit, whose refusals the server waits out: 1,000 publishes", async () => {
    // The default one: 100 a second, 200 at once.
    const { clock, tab } = await open();
    tab.say(1, join);
    await clock.settle();
    let next = 2;
    for (; next <= 33; next++) tab.say(next, publish(`${next}`));
    for (; tab.wire.contents.length < 1_000; await clock.advance(100)) {
      tab.wire.ack();
      for (; next <= 1_001 && tab.answer(next - 32) === "ok"; next++) tab.say(next, publish(`${next}`));
    }
    expect(tab.wire.contents).toEqual(Array.from({ length: 1_000 }, (_, index) => `${index + 2}`));
    expect(clock.timers).toBeLessThan(10);
  });

  test("holds for targets: the last one wins, and none is left over", async () => {
    const { clock, engine, tab } = await open();
    for (const [index, token] of ["a", "b", null, "c", null].entries()) tab.say(index + 1, target(token));
    await clock.settle();
    expect((await engine.sessions("sara"))[0]!.targets).toEqual([]);
  });

  test("does not hold between lines: one that waits for authorize() holds nobody else up", async () => {
    const { clock, tab, tab: { wire } } = await open({
      authorize: ({ topic }) => topic === NEWS ? new Promise<boolean>(() => {}) : true,
    });
    const other = new Tab(wire, "another line");
    tab.say(1, join);
    other.say(2, { ...join, topic: "*/other" });
    await clock.settle();
    expect([tab.answer(1), other.answer(2)]).toEqual(["none", "ok"]);
  });

  test("holds for engine.subscribe and engine.unsubscribe of a user too", async () => {
    const { clock, engine, tab } = await open();
    for (let times = 0; times < 5; times++) {
      void engine.subscribe("sara", { to: "*", channel: "news" });
      void engine.unsubscribe("sara", { to: "*", channel: "news" });
    }
    await clock.settle();
    await engine.publish({ to: "*", channel: "news", content: "for nobody" });
    await clock.settle();
    expect(tab.wire.contents).toEqual([]);
  });
});

describe("a refusal that may pass", () => {
  const failing = (fails: () => PeykError | undefined): Storage => {
    const storage = memory();
    return {
      async open(parts) {
        const opened = await storage.open(parts);
        const { transport } = opened;
        const append = transport.publish.bind(transport);
        transport.publish = async (...given) => {
          const error = fails();
          if (error !== undefined) throw error;
          return await append(...given);
        };
        return opened;
      },
    };
  };
  const full = (): PeykError => new PeykError("storage-full", "no room", { retryable: true });

  test("holds its line back until it has passed, and nothing overtakes", async () => {
    let error: PeykError | undefined;
    const { clock, tab } = await open({ storage: failing(() => error) });
    tab.say(1, join);
    await clock.settle();
    error = full();
    for (const number of [2, 3, 4]) tab.say(number, publish(`${number}`));
    tab.say(5, leave);
    await clock.advance(30_000);
    expect([2, 3, 4, 5].map((number) => tab.answer(number))).toEqual(["none", "none", "none", "none"]);
    error = undefined;
    await clock.advance(5_000);
    expect([2, 3, 4, 5].map((number) => tab.answer(number))).toEqual(["ok", "ok", "ok", "ok"]);
    expect(tab.wire.contents).toEqual(["2", "3", "4"]);
  });

  test("is final after 60 s, or after the message's ttl, and the line goes on", async () => {
    let error: PeykError | undefined;
    const { clock, tab } = await open({ storage: failing(() => error) });
    tab.say(1, join);
    await clock.settle();
    error = full();
    tab.say(2, publish("short", { ttl: 10 }));
    tab.say(3, publish("long"));
    tab.say(4, leave);
    await clock.advance(16_000);
    expect([2, 3].map((number) => tab.answer(number))).toEqual(["storage-full", "none"]);
    expect(tab.wire.of("error").at(-1)).toMatchObject({ retryable: true });
    for (let seconds = 0; seconds < 75; seconds += 15) {
      tab.wire.ack();
      await clock.advance(15_000);
    }
    expect([3, 4].map((number) => tab.answer(number))).toEqual(["storage-full", "ok"]);
    error = undefined;
    tab.say(2, publish("short", { ttl: 10 }), 80_000);
    await clock.settle();
    expect(tab.wire.of("error").map(({ ref }) => ref)).toEqual([2, 3, 2]);
  });

  test("of a publish is final when a later one was stored: what came after it is not overtaken", async () => {
    const errors: (PeykError | undefined)[] = [undefined, full(), undefined];
    const { clock, tab } = await open({ storage: failing(() => errors.shift()) });
    tab.say(1, join);
    await clock.settle();
    for (const number of [2, 3, 4]) tab.say(number, publish(`${number}`));
    await clock.advance(10_000);
    expect([2, 3, 4].map((number) => tab.answer(number))).toEqual(["ok", "storage-full", "ok"]);
    expect(tab.wire.contents).toEqual(["2", "4"]);
  });
});

describe("a request that is said again", () => {
  test("on the next connection gets the first answer, and has no second effect", async () => {
    const { again, clock, engine, tab } = await open();
    await engine.publish({ to: "*", channel: "news", content: "before" });
    tab.say(1, { ...join, since: { epoch: 0, offset: 0 } });
    tab.say(2, publish("mine"));
    tab.say(3, target("t"));
    tab.say(4, leave);
    tab.say(5, publish("last", null, "sara/default"));
    await clock.settle();
    const first = [1, 2, 3, 4, 5].map((number) => tab.wire.answer(number));
    await again();
    tab.say(1, { ...join, since: { epoch: 0, offset: 0 } }, 10);
    tab.say(2, publish("mine"), 10);
    tab.say(3, target("t"), 10);
    tab.say(4, leave, 10);
    tab.say(5, publish("last", null, "sara/default"), 10);
    await clock.settle();
    // What was subscribed to by then, the welcome has told.
    const told = (answer: unknown) => ({
      ...answer as object,
      value: { ...(answer as { value: object | null }).value, again: true },
    });
    expect([1, 2, 3, 4, 5].map((number) => tab.wire.answer(number))).toEqual([
      ...[told(first[0]), first[1], first[2], told(first[3]), first[4]],
    ]);
    expect(tab.wire.contents).toEqual(["last"]);
    expect(engine.counters()).toMatchObject({ accepted: 3, duplicates: 0 });
  });

  test("is acted on when the first one was lost in authorize() with its connection", async () => {
    const asked: ((allowed: boolean) => void)[] = [];
    const { again, clock, tab } = await open({ authorize: () => new Promise((resolve) => asked.push(resolve)) });
    tab.say(1, join);
    tab.say(2, publish("one"));
    await clock.settle();
    await again();
    tab.say(1, join, 10);
    tab.say(2, publish("one"), 10);
    await clock.settle();
    asked.shift()!(true);
    await clock.settle();
    // The late answer was for nobody.
    expect(tab.answer(1)).toBe("none");
    for (let resolve = asked.shift(); resolve !== undefined; resolve = asked.shift()) {
      resolve(true);
      await clock.settle();
    }
    expect([1, 2].map((number) => tab.answer(number))).toEqual(["ok", "ok"]);
    expect(tab.wire.contents).toEqual(["one"]);
  });

  test.each(["another engine on the same storage", "the same engine, away for a while"])("after %s: too", async (how) => {
    const storage = memory();
    let opened: OpenStorage | undefined;
    const kept: Storage = { open: async (parts) => opened ??= { ...await storage.open(parts), close: async () => {} } };
    const before = await open({ storage: kept, authorize: ({ allowed, topic }) => allowed && topic !== "*/closed" });
    let { tab } = before;
    tab.say(1, join);
    tab.say(2, publish("one"));
    tab.say(3, { ...join, topic: "*/closed" });
    tab.say(4, leave);
    tab.say(5, join);
    tab.say(6, target("t"));
    tab.say(7, leave);
    tab.say(8, publish("two", null, "sara/default"));
    await before.clock.settle();
    const first = [1, 2, 3, 4, 5, 6, 7, 8].map((number) => tab.wire.answer(number));
    let bench: Bench = before;
    if (how.startsWith("another")) {
      const closing = before.engine.close();
      await before.clock.settle();
      await closing;
      bench = await createBench({ storage: kept, push: [new FakeProvider()] });
    } else {
      tab.wire.leave();
      await bench.clock.advance(60_000);
    }
    tab = new Tab(await bench.open("sara"));
    for (
      const [index, asked] of [
        ...[join, publish("one"), { ...join, topic: "*/closed" }, leave, join, target("t"), leave],
        publish("two", null, "sara/default"),
      ].entries()
    ) tab.say(index + 1, asked, 1_000);
    await bench.clock.settle();
    const again = [1, 2, 3, 4, 5, 6, 7, 8].map((number) => tab.wire.answer(number));
    // What followed the last put is a publish, which is known by its id.
    const last = first[7] as { value: object };
    const told = (answer: unknown) => ({
      ...answer as object,
      value: { ...(answer as { value: object | null }).value, again: true },
    });
    expect(again).toEqual([
      ...[told(first[0]), first[1], first[2], told(first[3]), told(first[4]), first[5], told(first[6])],
      { ...last, value: { ...last.value, duplicate: true } },
    ]);
    expect(bench.engine.counters().duplicates).toBe(1);
    await bench.engine.publish({ to: "*", channel: "news", content: "for nobody" });
    await bench.clock.settle();
    expect(tab.wire.contents).not.toContain("for nobody");
  });
});

describe("bad input", () => {
  test("a number that is said again with another content is refused, and nothing happens", async () => {
    const { clock, tab } = await open();
    tab.say(1, join);
    await clock.settle();
    tab.say(1, leave);
    tab.say(2, publish("one"));
    await clock.settle();
    tab.say(2, publish("other"));
    await clock.settle();
    expect(tab.wire.of("error").map(({ code, ref }) => [code, ref])).toEqual([["bad-order", 1], ["bad-order", 2]]);
    expect(tab.wire.contents).toEqual(["one"]);
  });

  test("a request may be said for each answer, whatever of those before it is still under way", async () => {
    const stored: (() => void)[] = [];
    const storage = memory();
    const { clock, tab } = await open({
      storage: {
        async open(parts) {
          const opened = await storage.open(parts);
          const append = opened.transport.publish.bind(opened.transport);
          opened.transport.publish = async (...given) => {
            const result = await append(...given);
            await new Promise<void>((resolve) => stored.push(resolve));
            return result;
          };
          return opened;
        },
      },
    });
    const own = (number: number): void => tab.say(number, publish(`${number}`, null, "sara/default"));
    for (let number = 1; number <= 32; number++) own(number);
    await clock.settle();
    // The first one is stored last.
    for (const resolve of stored.splice(1)) resolve();
    await clock.settle();
    for (let number = 33; number <= 63; number++) own(number);
    own(64);
    await clock.settle();
    expect(tab.wire.of("error").map(({ ref }) => ref)).toEqual([64]);
    for (const resolve of stored.splice(0)) resolve();
    await clock.settle();
    for (const resolve of stored.splice(0)) resolve();
    await clock.settle();
    expect(tab.wire.of("ok")).toHaveLength(63);
  });

  test("numbers that jump are taken, and what they left out is not acted on afterwards", async () => {
    const { clock, tab } = await open();
    tab.say(5, join);
    tab.say(9, publish("nine"));
    await clock.settle();
    tab.say(7, publish("seven"));
    tab.say(10, publish("ten"));
    await clock.settle();
    expect([5, 9, 7, 10].map((number) => tab.answer(number))).toEqual(["ok", "ok", "outcome-unknown", "ok"]);
    expect(tab.wire.contents).toEqual(["nine", "ten"]);
  });

  test("a repeat of what was answered too long ago is outcome-unknown", async () => {
    const { clock, tab } = await open();
    for (let number = 1; number <= 40; number++) {
      tab.say(number, number % 2 === 0 ? leave : join);
      await clock.settle();
    }
    tab.wire.frames.length = 0;
    for (const number of [1, 8, 9]) tab.say(number, number % 2 === 0 ? leave : join, 10);
    await clock.settle();
    expect([1, 8, 9].map((number) => tab.answer(number))).toEqual(["outcome-unknown", "outcome-unknown", "ok"]);
  });

  test("more than 32 that wait are refused with too-many, and the others are answered in order", async () => {
    const asked: ((allowed: boolean) => void)[] = [];
    const { clock, tab } = await open({ authorize: () => new Promise((resolve) => asked.push(resolve)) });
    for (let number = 1; number <= 40; number++) tab.say(number, { ...join, topic: `*/${number}` });
    await clock.settle();
    expect(tab.wire.of("error").map(({ code, ref }) => [code, ref])).toEqual(
      [33, 34, 35, 36, 37, 38, 39, 40].map((ref) => ["too-many", ref]),
    );
    for (let resolve = asked.shift(); resolve !== undefined; resolve = asked.shift()) {
      resolve(true);
      await clock.settle();
    }
    expect(tab.wire.of("ok").map(({ ref }) => ref)).toEqual(Array.from({ length: 32 }, (_, index) => index + 1));
  });

  test("lines by the thousand: the 16 that were used last are remembered, a repeat in another one is outcome-unknown", async () => {
    const { clock, tab: { wire } } = await open();
    for (let index = 0; index < 1_000; index++) {
      new Tab(wire, `line ${index}`).say(1, { ...join, topic: `*/${index % 50}` });
      await clock.advance(1);
    }
    wire.frames.length = 0;
    new Tab(wire, "line 999").say(1, { ...join, topic: "*/49" }, 1);
    new Tab(wire, "line 984").say(1, { ...join, topic: "*/34" }, 17);
    new Tab(wire, "line 983").say(2, { ...join, topic: "*/33" }, 18);
    await clock.settle();
    expect(wire.of("ok").length).toBe(2);
    expect(wire.of("error")).toMatchObject([{ ref: 2, code: "outcome-unknown", retryable: false }]);
  });

  test("what was said first more than 24 hours ago is outcome-unknown, in a line that is known and in one that is not", async () => {
    const { clock, tab, tab: { wire } } = await open();
    tab.say(1, join);
    await clock.settle();
    new Tab(wire, "new").say(7, leave, 24 * HOUR_MS + 1);
    tab.say(2, leave, 24 * HOUR_MS + 1);
    new Tab(wire, "new").say(8, leave, 24 * HOUR_MS - 1);
    await clock.settle();
    expect([7, 2, 8].map((number) => tab.answer(number))).toEqual(["outcome-unknown", "outcome-unknown", "ok"]);
  });

  test("a line without a name, with a very long one, and a number 0 are refused", async () => {
    const { clock, tab: { wire } } = await open();
    new Tab(wire, "").say(1, join);
    new Tab(wire, "x".repeat(65)).say(2, join);
    wire.send({ ...join, ref: 3, line: { id: "x".repeat(64), number: 0, ageMs: 0, user: "sara" } } as ClientFrame);
    new Tab(wire, "x".repeat(64)).say(4, publish("x".repeat(5_000)));
    await clock.settle();
    expect(wire.of("error").map(({ code, ref }) => [ref, code])).toEqual([
      ...[[1, "bad-name"], [2, "bad-name"], [3, "bad-message"], [4, "bad-name"]],
    ]);
  });

  test("many bytes that wait are refused with too-many", async () => {
    const { clock, tab, tab: { wire } } = await open({ authorize: () => new Promise(() => {}) });
    for (let line = 0; line < 3; line++) {
      const other = new Tab(wire, `line ${line}`);
      for (let number = 1; number <= 20; number++) {
        other.say(number, { ...publish("x"), payload: encodePayload("x".repeat(60_000), undefined) } as Asked);
      }
    }
    await clock.settle();
    expect(tab.wire.of("error").length).toBeGreaterThan(10);
    expect(new Set(tab.wire.of("error").map(({ code }) => code))).toEqual(new Set(["too-many"]));
  });
});

test("logout overtakes: what waits is answered with signed-out and has no effect", async () => {
  const { clock, engine, tab } = await open({ authorize: () => new Promise(() => {}) });
  tab.say(1, join);
  tab.say(2, target("t"));
  tab.say(3, publish("one"));
  await clock.settle();
  tab.wire.send({ type: "logout", ref: 9 });
  await clock.settle();
  expect([2, 3, 9].map((number) => tab.answer(number))).toEqual(["signed-out", "signed-out", "ok"]);
  expect(tab.wire.closedWith).toBe(4103);
  expect(await engine.sessions("sara")).toEqual([]);
});

test("an ephemeral message stands outside: it does not wait for the line", async () => {
  const { clock, tab } = await open({
    authorize: ({ action, allowed }) => action === "publish" ? allowed : new Promise(() => {}),
  });
  tab.say(1, join);
  tab.wire.send({ ...publish("now", { ephemeral: true }, "sara/default"), ref: 7 } as ClientFrame);
  await clock.settle();
  expect([tab.answer(1), tab.answer(7)]).toEqual(["none", "ok"]);
});

test("a connection that is lost leaves no timer of a request that waits to be tried again", async () => {
  const { clock, tab } = await open({ limits: { publishesPerSecond: 1 } });
  tab.say(1, join);
  for (let number = 2; number <= 10; number++) tab.say(number, publish(`${number}`));
  await clock.settle();
  const { timers } = clock;
  tab.wire.leave();
  await clock.settle();
  expect(clock.timers).toBeLessThan(timers);
});

describe("a request that another user made", () => {
  const ofOmid = (number: number, frame: Asked): ClientFrame =>
    ({ ...frame, ref: 100 + number, line: { id: "a line of this tab", number, ageMs: 0, user: "omid" } }) as ClientFrame;

  test("has no effect and takes no place in the line: its numbers are the user's own still", async () => {
    const { clock, engine, tab } = await open();
    tab.say(1, join);
    tab.wire.send(ofOmid(2, publish("omid's")), ofOmid(3, leave), ofOmid(4, target("omid's")));
    for (const number of [2, 3, 4]) tab.say(number, publish(`${number}`));
    await clock.settle();
    for (const number of [2, 3, 4]) {
      expect(tab.wire.answer(100 + number)).toMatchObject({ type: "error", code: "unauthorized", retryable: false });
    }
    expect([1, 2, 3, 4].map((number) => tab.answer(number))).toEqual(Array(4).fill("ok"));
    expect(tab.wire.contents).toEqual(["2", "3", "4"]);
    expect((await engine.sessions("sara"))[0]!.targets).toEqual([]);
  });

  test("does not end what waits, nor is it kept: no line is opened for it, and its repeat is refused the same", async () => {
    const decided = Promise.withResolvers<boolean>();
    const { again, clock, tab } = await open({ authorize: ({ topic }) => topic === NEWS ? decided.promise : true });
    tab.say(1, join);
    tab.wire.send(ofOmid(1, publish("omid's")));
    // Lines beyond the 16 of a device would make the first one be forgotten.
    for (let line = 0; line < 40; line++) {
      const place = { id: `line ${line}`, number: 1, ageMs: 0, user: "omid" };
      tab.wire.send({ ...leave, ref: 200 + line, line: place } as ClientFrame);
    }
    await clock.settle();
    expect([tab.answer(1), tab.wire.answer(101)]).toMatchObject(["none", { code: "unauthorized" }]);
    expect(tab.wire.of("error")).toHaveLength(41);
    decided.resolve(true);
    await clock.settle();
    expect(tab.answer(1)).toBe("ok");
    await again();
    tab.wire.send(ofOmid(1, publish("omid's")));
    tab.say(1, join, 1_000);
    await clock.settle();
    expect([tab.answer(1), tab.wire.answer(101)]).toMatchObject(["ok", { code: "unauthorized" }]);
  });

  test("is refused over another user's connection on the same device, and so are theirs of before", async () => {
    const { clock, tab, ...bench } = await open();
    const omid = await bench.open("omid", { deviceId: "sara's device" });
    omid.send(
      { ...publish("sara's", null, "omid/default"), ref: 1, line: { id: "x", number: 1, ageMs: 9, user: "sara" } } as ClientFrame,
    );
    omid.send(
      { ...publish("omid's", null, "omid/default"), ref: 2, line: { id: "x", number: 1, ageMs: 0, user: "omid" } } as ClientFrame,
    );
    await clock.settle();
    expect(tab.wire.closedWith).toBe(4101);
    expect([omid.answer(1), omid.answer(2)]).toMatchObject([{ code: "unauthorized" }, { type: "ok" }]);
    expect(omid.contents).toEqual(["omid's"]);
  });
});
