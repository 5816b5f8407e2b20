import { describe, expect, test } from "vitest";
import { createLives, type Lives, PLACES } from "./lives.ts";

const SECOND = 1_000;
const DAY = 86_400;

/** What left for the phone, in short. */
const sent = ({ provider }: Lives) =>
  provider.sent.filter(({ token }) => token === "phone")
    .map(({ notification: { ttl, urgency, waiting } }) => ({ urgency, waiting, isKept: ttl > DAY }));

async function away(place: "memory" | "sqlite"): Promise<Lives> {
  const lives = await createLives({}, place);
  (await lives.sara("phone", { token: "phone" })).leave();
  await lives.clock.settle();
  return lives;
}

describe.each(PLACES)(
  "on %s: a push that stands for several is as urgent as the most urgent, and is kept as long as any",
  (place) => {
    test("of low urgencies that were gathered", async () => {
      const lives = await away(place);
      await lives.say("first", { urgency: "very-low", ttl: 120 });
      await lives.say("second", { urgency: "low" });
      await lives.say("third", { urgency: "very-low", ttl: 120 });
      await lives.clock.advance(61 * SECOND);
      expect(sent(lives)).toEqual([{ urgency: "low", waiting: 3, isKept: true }]);
    });

    test("of what waited for its turn", async () => {
      const lives = await away(place);
      for (let n = 1; n <= 5; n++) await lives.say(`m${n}`);
      await lives.say("m6", { ttl: 90 });
      await lives.say("m7");
      await lives.clock.advance(61 * SECOND);
      expect(sent(lives).slice(5)).toEqual([{ urgency: "normal", waiting: 2, isKept: true }]);
    });

    test("of what waited for its service, after a restart too", async () => {
      for (const restarts of [false, true]) {
        const lives = await away(place);
        (await lives.device("reza", { token: "reza" })).leave();
        await lives.clock.settle();
        lives.provider.verdict = () => ({ verdict: "retry", reason: "no", scope: "service" });
        await lives.say("probe", { to: "reza" });
        await lives.say("first", { urgency: "low", ttl: 600 });
        await lives.clock.advance(70 * SECOND);
        await lives.say("second");
        await lives.clock.advance(10 * SECOND);
        if (restarts) await lives.restart();
        lives.provider.verdict = () => ({ verdict: "sent" });
        lives.provider.sent.length = 0;
        await lives.clock.advance(70 * SECOND);
        expect(sent(lives)).toEqual([{ urgency: "normal", waiting: 2, isKept: true }]);
      }
    });
  },
);
