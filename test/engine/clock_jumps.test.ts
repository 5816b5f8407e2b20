import { describe, expect, test } from "vitest";
import { createLives, type Lives, PLACES } from "./lives.ts";
import type { Device } from "./stage.ts";

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;
const JUMPS = [
  ["an hour back", -HOUR],
  ["forty days back", -40 * 24 * HOUR],
  ["an hour forward", HOUR],
  ["forty days forward", 40 * 24 * HOUR],
] as const;

async function away(lives: Lives, user = "sara"): Promise<void> {
  (await lives.device(user, { token: user })).leave();
  await lives.clock.settle();
}

describe.each(PLACES)("on %s, a wall clock that is set", (place) => {
  describe.each(JUMPS)("%s", (_, ms) => {
    test("neither hurries a retry nor keeps it waiting", async () => {
      const lives = await createLives({}, place);
      const { clock, provider } = lives;
      await away(lives);
      provider.verdict = (_, attempt) =>
        attempt === 1 ? { verdict: "retry", reason: "busy", afterMs: 30 * SECOND } : { verdict: "sent" };
      await lives.say("hi");
      await clock.advance(10 * SECOND);
      clock.jump(ms);
      await clock.advance(20 * SECOND - 1);
      expect(provider.sent).toHaveLength(1);
      await clock.advance(1);
      expect(provider.sent).toHaveLength(2);
    });

    test("neither ends nor prolongs the hold while another device is attended, before the publish and after it", async () => {
      const lives = await createLives({}, place);
      const { clock, provider } = lives;
      await away(lives);
      await lives.sara("laptop", { habit: "sees", attended: true });
      for (const when of ["before", "after"]) {
        provider.sent.length = 0;
        if (when === "before") clock.jump(ms);
        await lives.say(when);
        if (when === "after") clock.jump(-ms);
        await clock.advance(4_999);
        expect([when, provider.sent.length]).toEqual([when, 0]);
        await clock.advance(1);
        expect([when, provider.sent.length]).toEqual([when, 1]);
      }
    });

    test("neither ends a message nor prolongs its life", async () => {
      const lives = await createLives({}, place);
      const { clock } = lives;
      const comes = async (user: string): Promise<Device> => {
        const device = await lives.device(user);
        await clock.settle();
        return device;
      };
      for (const user of ["sara", "reza"]) (await lives.device(user)).leave();
      await clock.settle();
      for (const to of ["sara", "reza"]) await lives.say(`hi ${to}`, { to, ttl: 60 });
      clock.jump(ms);
      await clock.advance(59 * SECOND);
      expect((await comes("sara")).contents).toEqual(["hi sara"]);
      await clock.advance(SECOND);
      expect((await comes("reza")).contents).toEqual([]);
    });

    test("is what messages are dated by from then on", async () => {
      const lives = await createLives({}, place);
      const { clock } = lives;
      clock.jump(ms);
      const sentAt = clock.now();
      await lives.say("hi");
      expect(await lives.explain("hi")).toMatchObject({ sentAt });
    });

    test("while a push waits for its service does not keep it from leaving soon after that is well", async () => {
      const lives = await createLives({}, place);
      const { clock, provider } = lives;
      for (const user of ["sara", "reza", "mina"]) await away(lives, user);
      provider.verdict = () => ({ verdict: "retry", scope: "service", reason: "down" });
      for (const to of ["sara", "reza", "mina"]) await lives.say(`hi ${to}`, { to });
      await clock.advance(300 * SECOND);
      clock.jump(ms);
      await clock.advance(10 * SECOND);
      provider.verdict = () => ({ verdict: "sent" });
      provider.sent.length = 0;
      await clock.advance(63 * SECOND);
      expect(lives.pushed().toSorted()).toEqual(["mina hi mina", "reza hi reza", "sara hi sara"]);
    });
  });
});

test.each(JUMPS)(
  "a retry that waits over a restart, while the clock is set %s, waits no longer than it was to wait",
  async (_, ms) => {
    const lives = await createLives({}, "sqlite");
    const { clock, provider } = lives;
    await away(lives);
    provider.verdict = (_, attempt) =>
      attempt === 1 ? { verdict: "retry", reason: "busy", afterMs: 30 * SECOND } : { verdict: "sent" };
    await lives.say("hi", { ttl: 30 * 24 * 3_600 });
    await clock.advance(10 * SECOND);
    clock.jump(ms);
    await lives.restart();
    await clock.advance(30 * SECOND);
    // A leap forward may have made it too old.
    expect([provider.sent.length, await lives.waiting()]).toEqual([ms > 30 * 24 * HOUR ? 1 : 2, 0]);
  },
);
