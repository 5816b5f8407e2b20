import { expect, test } from "vitest";
import type { EngineOptions } from "../../mod.ts";
import { encodePayload } from "../../src/protocol/codec.ts";
import { unhandledRejections } from "../engine/rejections.ts";
import { createBench } from "./wire.ts";

function thrown(what: unknown): never {
  throw what;
}

/** What a callback of the embedding server can do instead of an answer. */
const FAILURES: [string, () => unknown][] = [
  ["throws an Error", () => thrown(new Error("mine"))],
  ["throws a text", () => thrown("mine")],
  ["throws undefined", () => thrown(undefined)],
  ["throws null", () => thrown(null)],
  ["rejects", () => Promise.reject(new Error("mine"))],
  ["rejects with nothing", () => Promise.reject()],
  ["gives a promise of another kind that throws", () => ({ then: () => thrown(new Error("mine")) })],
  ["gives an object that can't be read", () => new Proxy({}, { get: () => thrown(new Error("mine")) })],
  ["gives an object whose fields can't be read", () => ({
    get userId() {
      return thrown(new Error("mine"));
    },
    get content() {
      return thrown(new Error("mine"));
    },
  })],
  [
    "gives an object that can't be asked for its fields",
    () => new Proxy({}, { has: () => thrown(new Error("mine")), ownKeys: () => thrown(new Error("mine")) }),
  ],
];

async function benchOf(options: EngineOptions) {
  const lines: { level: string; message: string; hint?: unknown }[] = [];
  const log = (level: string) => (message: string, fields?: object) => void lines.push({ level, message, ...fields });
  const bench = await createBench({ ...options, logger: { info: log("info"), warn: log("warn"), error: log("error") } });
  return { ...bench, lines, faults: unhandledRejections() };
}

/** Lets the runtime find out which rejection nobody heard. */
const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));

test.each(FAILURES)("an authenticate that %s: the client is to come back later, and the log says so", async (_, fail) => {
  let isRepaired = false;
  const { open, lines, faults } = await benchOf({
    authenticate: (({ token }: { token: string }) => isRepaired ? { userId: token } : fail()) as never,
  });
  const sara = await open("sara");
  expect(sara.of("error")).toMatchObject([{ ref: null, code: "unavailable", retryable: true, hint: expect.stringMatching(/./) }]);
  expect(lines.filter(({ level }) => level === "error")).toHaveLength(1);
  expect(lines[0]!.message).toContain("authenticate()");
  expect(JSON.stringify(sara.frames)).not.toContain("mine");
  isRepaired = true;
  expect((await open("sara")).frames[0]?.type).toBe("welcome");
  await turn();
  expect(faults).toEqual([]);
});

test.each(FAILURES)(
  "an authorize that %s: the request is answered, the connection lives, and the log says so",
  async (_, fail) => {
    let isRepaired = false;
    const { clock, open, lines, faults } = await benchOf({ authorize: (() => isRepaired ? true : fail()) as never });
    const sara = await open("sara");
    const payload = encodePayload("hi", undefined);
    sara.send(
      { type: "publish", ref: 1, topic: "sara/default", id: "m1", options: null, payload },
      { type: "subscribe", ref: 2, topic: "*/news", since: null, anew: false },
    );
    await clock.settle();
    expect(sara.answer(1)).toMatchObject({ type: "error" });
    expect(sara.answer(2)).toMatchObject({ type: "error" });
    expect(JSON.stringify(sara.frames)).not.toContain("mine");
    await clock.advance(1_000);
    expect(lines.some(({ level }) => level === "error")).toBe(true);
    isRepaired = true;
    sara.send({ type: "publish", ref: 3, topic: "sara/default", id: "m2", options: null, payload });
    await clock.settle();
    expect(sara.answer(3)?.type).toBe("ok");
    expect(sara.closedWith).toBeUndefined();
    await turn();
    expect(faults).toEqual([]);
  },
);
