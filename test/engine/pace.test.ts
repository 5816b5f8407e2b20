import { describe, expect, test } from "vitest";
import { createLives, type Lives, PLACES } from "./lives.ts";

const MINUTE = 60_000;
const HELD = "push-held many came within a minute: waits for the next push that may leave";

/** Pushes so far, each with how many messages it stands for. */
const sent = ({ provider }: Lives): string[] =>
  provider.sent.map(({ notification: { id, waiting } }) => waiting === 1 ? id : `${id} of ${waiting}`);

async function away(lives: Lives, userId: string, ...rooms: string[]): Promise<void> {
  const device = await lives.device(userId, { deviceId: `${userId}'s phone`, token: userId });
  await lives.clock.settle();
  for (const room of rooms) await lives.engine.subscribe(userId, { to: "*", channel: room });
  device.leave();
  await lives.clock.settle();
}

describe.each(PLACES)("on %s: after five pushes to a target within a minute", (place) => {
  test("and a wait for what was dealt with before its turn, the next ones leave as they come", async () => {
    const lives = await createLives({}, place);
    await away(lives, "sara");
    for (let n = 1; n <= 7; n++) await lives.say(`m${n}`);
    expect(sent(lives)).toHaveLength(5);
    const back = await lives.device("sara", { deviceId: "sara's phone", habit: "acks" });
    await lives.clock.advance(4_000);
    back.leave();
    await lives.clock.advance(10 * MINUTE);
    await lives.say("m8");
    await lives.clock.advance(20_000);
    await lives.say("m9");
    expect(sent(lives).slice(5)).toEqual(["m8", "m9"]);
  });

  test("one leaves per coalesceMs, for all that waits", async () => {
    const lives = await createLives({}, place);
    await away(lives, "sara", "news");
    const begin = lives.clock.elapsed();
    for (let n = 1; n <= 6; n++) await lives.say(`m${n}`);
    await lives.say("n1", { to: "*", channel: "news" });
    expect(sent(lives)).toEqual(["m1", "m2", "m3", "m4", "m5"]);
    await lives.clock.advance(MINUTE - 100 - (lives.clock.elapsed() - begin));
    await lives.say("m7");
    expect(sent(lives)).toHaveLength(5);
    await lives.clock.advance(100);
    expect(sent(lives).slice(5)).toEqual(["n1 of 3"]);
    // What comes goes on waiting for its turn.
    await lives.say("m8");
    await lives.clock.advance(MINUTE - 1_000);
    await lives.say("m9");
    expect(sent(lives)).toHaveLength(6);
    await lives.clock.advance(1_000);
    expect(sent(lives).slice(6)).toEqual(["m8 of 2"]);
    // After a turn that nothing waited for, they leave as they come.
    await lives.clock.advance(MINUTE);
    for (let n = 10; n <= 15; n++) await lives.say(`m${n}`);
    expect(sent(lives).slice(7)).toEqual(["m10", "m11", "m12", "m13", "m14"]);
  });

  test("it tells why the others wait, and they leave as one, after a restart too", async () => {
    const lives = await createLives({}, place);
    await away(lives, "sara");
    for (let n = 1; n <= 7; n++) await lives.say(`m${n}`);
    expect(await lives.told("m6")).toContain(HELD);
    await lives.restart();
    expect(await lives.told("m6")).toEqual([HELD]);
    await lives.clock.advance(MINUTE);
    expect(sent(lives)).toEqual(["m1", "m2", "m3", "m4", "m5", "m6 of 2"]);
  });

  test("after a restart nothing overtakes what waits for its turn", async () => {
    const lives = await createLives({}, place);
    await away(lives, "sara", "news");
    const begin = lives.clock.elapsed();
    for (let n = 1; n <= 6; n++) await lives.say(`m${n}`);
    await lives.clock.advance(20_000);
    await lives.restart();
    await lives.say("m7");
    await lives.say("n1", { to: "*", channel: "news" });
    await lives.clock.advance(MINUTE - 1_000 - (lives.clock.elapsed() - begin));
    expect(sent(lives)).toHaveLength(5);
    await lives.clock.advance(1_000);
    expect(sent(lives).slice(5)).toEqual(["n1 of 3"]);
    // One after the other as long as something waits, as if there had been no restart.
    await lives.say("m8");
    await lives.clock.advance(MINUTE - 1_000);
    expect(sent(lives)).toHaveLength(6);
    await lives.clock.advance(1_000 + MINUTE);
    await lives.say("m9");
    expect(sent(lives).slice(6)).toEqual(["m8", "m9"]);
  });

  test("what expires before its turn ends then, and is told once that it waits", async () => {
    const lives = await createLives({}, place);
    await away(lives, "sara");
    for (let n = 1; n <= 5; n++) await lives.say(`m${n}`);
    await lives.say("m6", { ttl: 10 });
    await lives.clock.advance(11_000);
    expect((await lives.told("m6")).slice(-2)).toEqual([HELD, "expired expired before it left"]);
    expect(await lives.waiting()).toBe(0);
  });

  test("what was dealt with by then does not leave, nor does it use up a turn", async () => {
    const lives = await createLives({}, place);
    await away(lives, "sara");
    for (let n = 1; n <= 6; n++) await lives.say(`m${n}`);
    await lives.clock.advance(10_000);
    const laptop = await lives.sara("laptop", { visible: false });
    const { position } = (await lives.explain("m6"))!;
    await laptop.request({ type: "mark", ref: 0, kind: "read", topic: "sara/default", ...position });
    await lives.clock.advance(2 * MINUTE);
    await lives.say("m7");
    expect(sent(lives).at(-1)).toBe("m7");
    expect(sent(lives)).toHaveLength(6);
  });
});

test("a minute in which fewer left is no reason to wait", async () => {
  const lives = await createLives();
  await away(lives, "sara");
  for (let n = 1; n <= 30; n++) {
    await lives.say(`m${n}`);
    await lives.clock.advance(12_001);
  }
  expect(sent(lives)).toHaveLength(30);
});

test("one target's pace is no other's, and no other device's", async () => {
  const lives = await createLives();
  await away(lives, "sara");
  await away(lives, "reza");
  const tablet = await lives.sara("tablet", { token: "tablet" });
  await lives.clock.settle();
  for (let n = 1; n <= 6; n++) await lives.say(`m${n}`);
  tablet.leave();
  await lives.clock.settle();
  await lives.say("later");
  await lives.say("hers", { to: "reza" });
  expect(lives.pushed().filter((push) => !push.startsWith("sara"))).toEqual(["tablet later", "reza hers"]);
});

test("a high urgency does not wait, what shows nothing neither waits nor counts", async () => {
  const lives = await createLives();
  await away(lives, "sara");
  for (let n = 1; n <= 8; n++) await lives.say(`silent${n}`, { silent: true });
  for (let n = 1; n <= 6; n++) await lives.say(`m${n}`);
  await lives.say("alarm", { urgency: "high" });
  await lives.say("sync", { silent: true });
  expect(sent(lives).slice(8)).toEqual(["m1", "m2", "m3", "m4", "m5", "alarm", "sync"]);
  await lives.clock.advance(30_000);
  await lives.say("alarm again", { urgency: "high" });
  await lives.clock.advance(30_000);
  expect(sent(lives).slice(15)).toEqual(["alarm again", "m6"]);
});

test("a high urgency that comes together with a normal one leaves, the other waits", async () => {
  const lives = await createLives();
  await away(lives, "sara");
  for (let n = 1; n <= 5; n++) await lives.say(`m${n}`);
  await Promise.all([lives.say("m6"), lives.say("alarm", { urgency: "high" }), lives.say("sync", { silent: true })]);
  expect(sent(lives).slice(5)).toEqual(["alarm", "sync"]);
});

test("of messages in many topics at once five leave, and it is told of the others that they wait", async () => {
  const lives = await createLives();
  const rooms = ["a", "b", "c", "d", "e", "f", "g"];
  await away(lives, "sara", ...rooms);
  await Promise.all(rooms.map((room) => lives.say(room, { to: "*", channel: room })));
  const left = sent(lives);
  expect(left).toHaveLength(5);
  const [first, second] = rooms.filter((room) => !left.includes(room));
  for (const room of [first!, second!]) expect((await lives.told(room)).at(-1)).toMatch(/^push-held many came within a minute/);
  await lives.clock.advance(MINUTE);
  expect(sent(lives).slice(5)).toEqual([`${first} of 2`]);
});

test("what waits for a person at another device is not taken along before its time", async () => {
  const lives = await createLives();
  await away(lives, "sara");
  for (let n = 1; n <= 6; n++) await lives.say(`m${n}`);
  await lives.clock.advance(MINUTE - 2_000);
  await lives.sara("laptop", { attended: true, habit: "sees" });
  await lives.say("m7");
  await lives.clock.advance(2_000);
  expect(sent(lives).slice(5)).toEqual(["m6"]);
  await lives.clock.advance(MINUTE);
  expect(sent(lives).slice(5)).toEqual(["m6", "m7"]);
});

test("of different collapse keys one leaves at a time, with its own words", async () => {
  const lives = await createLives();
  await away(lives, "sara");
  for (let n = 1; n <= 5; n++) await lives.say(`m${n}`);
  for (const key of ["a", "b"]) await lives.say(key, { notification: { collapseKey: key } });
  await lives.say("a again", { notification: { collapseKey: "a" } });
  await lives.say("m6");
  await lives.clock.advance(3 * MINUTE);
  expect(sent(lives).slice(5)).toEqual(["b", "a again", "m6"]);
});

test("what the provider did not take does not count", async () => {
  const lives = await createLives();
  await away(lives, "sara");
  lives.provider.verdict = () => ({ verdict: "retry", reason: "busy" });
  await lives.say("m1");
  await lives.clock.advance(59_000);
  lives.provider.verdict = () => ({ verdict: "sent" });
  await lives.clock.advance(60_000);
  const asked = lives.provider.sent.length;
  expect(asked).toBeGreaterThan(6);
  for (let n = 2; n <= 5; n++) await lives.say(`m${n}`);
  expect(sent(lives).slice(asked)).toEqual(["m2", "m3", "m4", "m5"]);
});

test("without coalescing there is no pace", async () => {
  const lives = await createLives({ policy: { coalesceMs: 0 } });
  await away(lives, "sara");
  for (let n = 1; n <= 30; n++) await lives.say(`m${n}`);
  expect(sent(lives)).toHaveLength(30);
});

test("low urgencies wait for their turn as well, and leave with the others", async () => {
  const lives = await createLives();
  await away(lives, "sara");
  for (let n = 1; n <= 3; n++) await lives.say(`low${n}`, { urgency: "low" });
  await lives.clock.advance(MINUTE - 1_000);
  for (let n = 1; n <= 5; n++) await lives.say(`m${n}`);
  await lives.clock.advance(1_000);
  expect(sent(lives)).toEqual(["m1", "m2", "m3", "m4", "m5"]);
  await lives.say("m6");
  await lives.clock.advance(MINUTE);
  expect(sent(lives).slice(5)).toEqual(["m6 of 4"]);
});

test("low urgencies that show nothing or have collapse keys of their own never leave as one", async () => {
  const lives = await createLives();
  await away(lives, "sara");
  const low = { urgency: "low" } as const;
  for (const id of ["silent1", "silent2"]) await lives.say(id, { ...low, silent: true });
  for (const key of ["a", "b"]) await lives.say(key, { ...low, notification: { collapseKey: key } });
  for (const id of ["low1", "low2"]) await lives.say(id, low);
  expect(sent(lives)).toEqual([]);
  await lives.clock.advance(MINUTE);
  expect(sent(lives).toSorted()).toEqual(["a", "b", "low1 of 2", "silent1", "silent2"]);
});

test("where little is gathered, a burst is one for a minute all the same", async () => {
  const lives = await createLives({ policy: { coalesceMs: 1_000 } });
  await away(lives, "sara");
  for (let n = 1; n <= 5; n++) await lives.say(`m${n}`);
  await lives.clock.advance(30_000);
  for (let n = 6; n <= 8; n++) await lives.say(`m${n}`);
  expect(sent(lives).slice(5)).toEqual(["m6"]);
  await lives.clock.advance(1_000);
  expect(sent(lives).slice(5)).toEqual(["m6", "m7 of 2"]);
});
