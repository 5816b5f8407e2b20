import { expect, test } from "vitest";
import { createLives, type Lives } from "./lives.ts";
import { type SlowStore, slowStore } from "./slow_store.ts";

const NEWS = { to: "*", channel: "news" };

/** Sara with so many devices that are away, some of them with targets. */
async function away(targets: number, others: number, options = {}): Promise<{ lives: Lives } & SlowStore> {
  const store = slowStore();
  const lives = await createLives({ storage: store.storage, ...options });
  await lives.engine.subscribe("sara", NEWS);
  for (let index = 0; index < targets + others; index++) {
    const token = index < targets ? { token: `token ${index}` } : {};
    (await lives.sara(`device ${index}`, token)).leave();
    await lives.clock.settle();
  }
  store.puts.length = 0;
  return { lives, ...store };
}

test("a private message costs one put for all devices of a user that are away", async () => {
  const { lives, puts } = await away(6, 3);
  await lives.say("hi");
  expect(puts.map(({ rows }) => rows.length)).toEqual([6]);
  expect(lives.pushed().length).toBe(6);
});

test("a public message costs no put of its members: how far it is decided stands with the topic", async () => {
  const { lives, puts } = await away(6, 3);
  await lives.say("hi", NEWS);
  expect(puts).toEqual([]);
  expect(lives.pushed().length).toBe(6);
});

test.each([["private", {}], ["public", NEWS]])("a %s message costs no put for a user without targets", async (_, to) => {
  const { lives, puts } = await away(0, 3);
  for (const id of ["a", "b"]) await lives.say(id, to);
  expect(puts).toEqual([]);
  expect(await lives.explain("a")).toMatchObject({ verdict: "routed" });
});

test("explain() says once of a device without a target that there is nowhere to push to", async () => {
  const { lives } = await away(0, 1);
  for (const id of ["a", "b"]) await lives.say(id);
  for (const id of ["a", "b"]) expect(await lives.told(id)).toEqual(["routed disconnected.away/alert/no-target"]);
});

test("a put takes 200 rows at most, and what does not fit goes into the next ones", async () => {
  const { lives, puts } = await away(45, 0, { policy: { coalesceMs: 0 } });
  // All of these are decided about at once: the first session that is there again holds nobody up.
  await Promise.all(Array.from({ length: 20 }, (_, index) => lives.engine.publish({ to: "sara", content: "x", id: `${index}` })));
  await lives.clock.settle();
  const sent = lives.provider.sent.map(({ token, notification: { waiting } }) => ({ token, waiting }));
  expect(sent.reduce((sum, { waiting }) => sum + waiting, 0)).toBe(900);
  expect(Math.max(...puts.map(({ rows }) => rows.length))).toBeLessThanOrEqual(200);
  expect(puts.length).toBeLessThan(12);
});

test("a device that leaves is written twice, whatever is open: it leaves, and it is away with what was decided", async () => {
  const store = slowStore();
  const lives = await createLives({ storage: store.storage });
  for (const channel of ["a", "b", "c"]) await lives.engine.subscribe("sara", { to: "*", channel });
  const phone = await lives.sara("phone", { token: "phone" });
  phone.drop();
  for (const channel of ["a", "b", "c"]) await lives.say(channel, { to: "*", channel });
  store.puts.length = 0;
  await lives.clock.advance(20_000);
  expect(store.puts.map(({ record: { sessions: [session] }, rows }) => [session!.leaving, session!.node !== null, rows.length]))
    .toEqual([[true, true, 0], [undefined, false, 3]]);
  expect(lives.pushed().toSorted()).toEqual(["phone a", "phone b", "phone c"]);
});

test("pushes of a session that come while its user is written go into one put", async () => {
  const store = slowStore();
  const lives = await createLives({ storage: store.storage });
  await lives.engine.subscribe("sara", NEWS);
  await lives.sara("phone", { token: "phone", visible: false });
  store.puts.length = 0;
  store.delays.set("sara", 20);
  for (let index = 0; index < 100; index++) {
    await lives.say(`${index}`, NEWS);
    await lives.clock.advance(10);
  }
  await lives.clock.advance(10_000);
  expect(lives.provider.sent.reduce((sum, { notification: { waiting } }) => sum + waiting, 0)).toBe(100);
  // A read and a write of 20 ms each, for a second.
  expect(store.puts.filter(({ rows }) => rows.length > 0).length).toBeLessThanOrEqual(26);
});

test("what does not fit into a put is decided about by the next one, also where one row stands for many entries", async () => {
  const lives = await createLives();
  const channels = Array.from({ length: 10 }, (_, index) => ({ to: "sara", channel: `c${index}` }));
  for (const channel of channels) await lives.engine.subscribe("sara", channel);
  (await lives.sara("phone", { token: "phone" })).drop();
  await lives.clock.settle();
  // Nine topics of 20 rows each, and one of 20 rows and one for the rest.
  for (const [index, channel] of channels.entries()) {
    for (let number = 0; number < (index === 9 ? 40 : 20); number++) await lives.say(`${index}.${number}`, channel);
  }
  await lives.clock.advance(120_000);
  expect(lives.provider.sent.reduce((sum, { notification: { waiting } }) => sum + waiting, 0)).toBe(9 * 20 + 40);
});
