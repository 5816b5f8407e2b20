import { expect, test } from "vitest";
import { memory, type PushResult } from "../../mod.ts";
import { createStage } from "./stage.ts";

const NEWS = { to: "*", channel: "news" };

/** Devices that have left, a message to all of them, and a push service: when it answers each, milliseconds; undefined: never. */
async function pushToAll(tokens: readonly string[], answersAfter: (token: string) => number | undefined) {
  const counts = { reads: 0, rows: 0, sent: 0 };
  const stored = memory();
  const lives = await createStage({
    storage: {
      async open(context) {
        const storage = await stored.open(context);
        const due: typeof storage.outbox.due = async (...asked) => {
          const found = await storage.outbox.due(...asked);
          counts.reads++;
          counts.rows += found.rows.length;
          return found;
        };
        const outbox = new Proxy(storage.outbox, {
          get(target, name) {
            const found: unknown = name === "due" ? due : Reflect.get(target, name);
            return typeof found === "function" ? found.bind(target) : found;
          },
        });
        return { ...storage, outbox };
      },
    },
    push: [{
      name: "fake",
      send: ({ token }) =>
        new Promise<PushResult>((resolve) => {
          const after = answersAfter(token);
          if (after === undefined) return;
          lives.clock.setTimeout(() => {
            counts.sent++;
            resolve({ verdict: "sent" });
          }, after);
        }),
    }],
  });
  for (const token of tokens) {
    await lives.engine.subscribe(token, NEWS);
    (await lives.device(token, { token })).leave();
  }
  await lives.clock.settle();
  counts.reads = counts.rows = 0;
  await lives.engine.publish({ ...NEWS, content: "all" });
  return { ...lives, counts };
}

function named(kind: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${kind} ${String(index).padStart(4, "0")}`);
}

test.each([337, 370, 383])("where %i pushes hang the slots that are left go on with what is due", async (hanging) => {
  const tokens = [...named("hangs", hanging), ...named("well", 120)];
  const { clock, counts, engine } = await pushToAll(tokens, (token) => token.startsWith("well") ? 5 : undefined);
  await clock.advance(5_000);
  expect(counts.sent).toBe(120);
  await engine.close();
  expect(clock.timers).toBe(0);
});

test("what is due is not read for each push, however their answers are spread", async () => {
  const tokens = named("user", 2_000);
  const { clock, counts, engine } = await pushToAll(tokens, (token) => 20 + Number(token.slice(-4)) % 100);
  await clock.advance(5_000);
  expect(counts.sent).toBe(tokens.length);
  expect(counts.reads).toBeLessThan(750);
  await engine.close();
});

test("what stands behind a push that is under way is not read again and again", async () => {
  const tokens = named("user", 1_000);
  const { clock, counts, engine } = await pushToAll(tokens, () => 20);
  for (let round = 0; round < 3; round++) await engine.publish({ ...NEWS, content: "more" });
  await clock.advance(5_000);
  expect(engine.counters().pushesSent).toBe(4 * tokens.length);
  expect(counts.rows).toBeLessThan(5 * 4 * tokens.length);
  await engine.close();
});
