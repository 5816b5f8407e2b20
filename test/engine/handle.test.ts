import { expect, test } from "vitest";
import type { Outbox, PushResult, Storage } from "../../mod.ts";
import { createLives, type Lives, PLACES } from "./lives.ts";
import { surviving } from "./stage.ts";

/** A phone that has left, on a storage that can be looked into. */
async function stageOf(verdict: Lives["provider"]["verdict"]) {
  let outbox: Outbox | undefined;
  const inner = surviving();
  const storage: Storage = {
    async open(context) {
      const opened = await inner.open(context);
      outbox = opened.outbox;
      return opened;
    },
  };
  const lives = await createLives({ storage });
  lives.provider.verdict = verdict;
  (await lives.sara("phone", { token: "phone" })).leave();
  await lives.clock.settle();
  const handles = async (id: string): Promise<unknown[]> => (await outbox!.ofMessage(id)).map(({ handle }) => handle);
  return { ...lives, handles };
}

test.each(["sent", "replaced"])("what a push is called at its service is stored with it, when it was %s", async (verdict) => {
  const { handles, say } = await stageOf(() => ({ verdict, token: "new", handle: "https://push.example.org/m/1" }) as PushResult);
  await say("hi");
  expect(await handles("hi")).toEqual(["https://push.example.org/m/1"]);
});

test("of messages that left as one push the one that it is named after has it", async () => {
  const { clock, handles, say } = await stageOf((_, attempt) => ({ verdict: "sent", handle: `handle ${attempt}` }));
  await say("one", { urgency: "low" });
  await say("two", { urgency: "low" });
  await clock.advance(600_000);
  expect([...await handles("one"), ...await handles("two")].filter((handle) => handle !== undefined)).toEqual(["handle 1"]);
});

test.each([undefined, "", 7, {}, "x".repeat(1_025)])("%j is no handle, and the push counts as sent", async (handle) => {
  const { engine, handles, say } = await stageOf(() => ({ verdict: "sent", handle }) as PushResult);
  await say("hi");
  expect(await handles("hi")).toEqual([undefined]);
  expect(engine.counters().pushesSent).toBe(1);
});

test.each(PLACES)("nobody is told of it, on %s", async (place) => {
  const logged: unknown[] = [];
  const log = (...what: unknown[]): void => void logged.push(what);
  const lives = await createLives({ logger: { info: log, warn: log, error: log } }, place);
  const notes: unknown[] = [];
  lives.engine.on("note", (note) => notes.push(note));
  lives.provider.verdict = () => ({ verdict: "sent", info: "201", handle: "secret" });
  (await lives.sara("phone", { token: "phone" })).leave();
  await lives.clock.settle();
  await lives.say("hi");
  expect((await lives.told("hi")).at(-1)).toBe("push-sent 201");
  const before = await lives.explain("hi");
  const sessions = await lives.engine.sessions("sara");
  await lives.restart();
  const after = await lives.explain("hi");
  expect(JSON.stringify([logged, notes, before, after, sessions])).not.toContain("secret");
});
