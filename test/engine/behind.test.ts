import { afterEach, expect, test } from "vitest";
import { memory, type Storage } from "../../mod.ts";
import { createStage, type Device, type Stage } from "./stage.ts";

const stages: Stage[] = [];

afterEach(async () => {
  for (const { engine } of stages.splice(0)) await engine.close();
});

/** Messages that fit into the phone's window, and those that there are. */
const SENT = 2_000;
const ALL = 2_100;

/** A storage that counts the reads of what waits in the log, and lets them wait. */
function counting(): { storage: Storage; reads(): number; hold(): () => void } {
  let count = 0;
  let held = Promise.resolve();
  return {
    reads: () => count,
    hold() {
      const { promise, resolve } = Promise.withResolvers<void>();
      held = promise;
      return resolve;
    },
    storage: {
      async open(context) {
        const opened = await memory().open(context);
        const { history } = opened;
        return {
          ...opened,
          history: {
            async read(topic, after, limit) {
              // Pushes that leave read before that.
              if (after < SENT) return await history!.read(topic, after, limit);
              count++;
              await held;
              return await history!.read(topic, after, limit);
            },
          },
        };
      },
    },
  };
}

interface Behind {
  stage: Stage;
  phone: Device;
  reads(): number;
  /** Lets reads wait until what it returns is called. */
  hold(): () => void;
  /** A message that no log has: it is sent, is not seen, and is overdue. */
  overdue(): Promise<void>;
}

/** A phone that sees hardly anything, with some messages that wait in the log. */
async function behind(token?: string): Promise<Behind> {
  const { hold, storage, reads } = counting();
  const stage = await createStage({ storage });
  stages.push(stage);
  const { clock, engine } = stage;
  const phone = await stage.device("sara", { habit: "mute", ...token === undefined ? {} : { token } });
  for (let sent = 1; sent <= ALL; sent++) await engine.publish({ to: "sara", content: "hi", id: `m${sent}` });
  await clock.settle();
  let seen = 300;
  phone.ack([], seen);
  await clock.settle();
  expect(phone.messages).toHaveLength(SENT);
  return {
    ...{ stage, phone, reads, hold },
    async overdue() {
      await engine.publish({ to: "sara", content: "now", ephemeral: true });
      phone.ack([], seen);
      await clock.advance(3_100);
      phone.ack([], ++seen);
      await clock.settle();
    },
  };
}

test("what waits in the log for a reader that is behind is read for pushes once, however often something is overdue", async () => {
  const { overdue, reads, stage } = await behind("phone");
  await overdue();
  const before = reads();
  for (let round = 0; round < 50; round++) await overdue();
  expect(reads() - before).toBeLessThan(3);
  expect(stage.provider.sent.length).toBeGreaterThan(0);
});

test("without a target nothing of it is read", async () => {
  const { overdue, reads } = await behind();
  const before = reads();
  for (let round = 0; round < 10; round++) await overdue();
  expect(reads() - before).toBe(0);
});

test("what came to wait in the log meanwhile is read when something is overdue next", async () => {
  const { overdue, reads, stage } = await behind("phone");
  await overdue();
  const before = reads();
  await stage.engine.publish({ to: "sara", content: "hi", id: "late", urgency: "high" });
  await overdue();
  await overdue();
  await stage.clock.advance(600_000);
  expect(reads()).toBeGreaterThan(before);
  const told = await stage.explain("late");
  expect(told?.devices[0]?.events.map(({ kind }) => kind)).toContain("push-queued");
});

test("while it is being read it is not read again", async () => {
  const { hold, overdue, reads, stage } = await behind("phone");
  const before = reads();
  const goOn = hold();
  for (let round = 0; round < 5; round++) await overdue();
  expect(reads() - before).toBe(1);
  goOn();
  await stage.clock.settle();
  expect(reads() - before).toBe(1);
  expect((await stage.explain(`m${ALL}`))?.devices[0]?.events.map(({ kind }) => kind)).toContain("push-queued");
});
