import { expect, test } from "vitest";
import { at, entry, quiet, World } from "./fake_server.ts";

const HOUR_MS = 3600_000;

function ok(frame: { ref: number }, value: unknown = null) {
  return { type: "ok" as const, ref: frame.ref, value };
}

test("a client's requests stand in one line: numbers rise by 1, whatever they ask for", async () => {
  const world = new World();
  const client = world.connect();
  const all = [
    client.subscribe({ to: "*", channel: "news" }),
    client.publish({ to: "*", channel: "news" }),
    client.registerPush({ provider: "webhook", token: "t" }),
    client.markRead({ topic: "sara/default", position: { epoch: 7, offset: 1 } }),
    client.unsubscribe({ to: "*", channel: "news" }),
  ];
  for (const request of all) request.catch(() => {});
  await quiet();
  await world.socket.welcome();
  const lines = world.socket.received.flatMap((frame) => "line" in frame && frame.line !== undefined ? [frame.line] : []);
  expect(lines.map(({ number }) => number)).toEqual([1, 2, 3, 4, 5]);
  expect(new Set(lines.map(({ id }) => id)).size).toBe(1);
  expect(lines[0]!.id).toMatch(/^[A-Za-z0-9_-]{22}$/);
  expect(lines.every(({ ageMs }) => ageMs === 0)).toBe(true);
  const other = await new World().connected();
  void other.unsubscribe({ to: "*" }).catch(() => {});
  await Promise.all([client.close(), other.close()]);
});

test("on a new connection what is unanswered is said again under its number, with its age, before anything new", async () => {
  const world = new World();
  const client = await world.connected();
  const first = client.publish({ to: "omid", id: "one" });
  void client.publish({ to: "omid", id: "two" }).catch(() => {});
  await quiet();
  const [one] = world.socket.take("publish");
  await world.socket.say({
    ...ok(one!, { id: "one", topic: "omid/default", epoch: 1, offset: 1, durable: true, durability: "disk", duplicate: false }),
  });
  await first;
  await world.time.pass(5_000);
  await world.again();
  void client.publish({ to: "omid", id: "three" }).catch(() => {});
  await quiet();
  const again = world.socket.take("publish");
  expect(again.map(({ id, line }) => [id, line!.number])).toEqual([["two", 2], ["three", 3]]);
  expect(again[0]!.line!.ageMs).toBeGreaterThanOrEqual(5_000);
  expect(again[1]!.line!.ageMs).toBe(0);
  await client.close();
});

test("a number is said when the one 32 below it is answered, in whichever order answers come", async () => {
  const world = new World();
  const client = await world.connected();
  for (let index = 0; index < 70; index++) void client.unsubscribe({ to: "*", channel: `${index}` }).catch(() => {});
  await quiet();
  const first = world.socket.take("unsubscribe");
  expect(first.map(({ line }) => line!.number)).toEqual(Array.from({ length: 32 }, (_, index) => index + 1));
  await world.socket.say(...first.slice(1).map((frame) => ok(frame)));
  expect(world.socket.take("unsubscribe")).toEqual([]);
  await world.socket.say(ok(first[0]!));
  expect(world.socket.take("unsubscribe").map(({ line }) => line!.number)).toEqual(
    Array.from({ length: 32 }, (_, index) => index + 33),
  );
  await client.close();
});

test("what took effect before, and is said again, begins and forgets nothing: the welcome has told what is read now", async () => {
  const world = new World();
  const client = await world.connected([at("sara/default", 0), at("*/news", 4)]);
  const handled: number[] = [];
  client.onMessage(({ position }) => void handled.push(position!.offset));
  const [left, joined] = [
    client.unsubscribe({ to: "*", channel: "news" }),
    client.subscribe({ to: "*", channel: "news", anew: true }),
  ];
  await quiet();
  await world.again([at("sara/default", 0), at("*/news", 7)]);
  const [leave, join] = [world.socket.one("unsubscribe"), world.socket.one("subscribe")];
  await world.socket.say(entry(8, "*/news"));
  await world.socket.say(ok(leave, { again: true }), ok(join, { epoch: 7, offset: 4, recovered: false, again: true }));
  expect(await joined).toEqual({ epoch: 7, offset: 4 });
  await left;
  await world.socket.say(entry(9, "*/news"));
  expect(handled).toEqual([8, 9]);
  expect(world.sockets).toHaveLength(2);
  expect(client.subscriptions().map(({ topic }) => topic)).toEqual(["*/news", "sara/default"]);
  await client.close();
});

test("an ephemeral message stands in no line", async () => {
  const world = new World();
  const client = await world.connected();
  void client.publish({ to: "omid", ephemeral: true }).catch(() => {});
  void client.publish({ to: "omid" }).catch(() => {});
  await quiet();
  expect(world.socket.take("publish").map(({ line }) => line?.number)).toEqual([undefined, 1]);
  await client.close();
});

test("an answer is final: one that says it may succeed later rejects, and what stands behind it goes on", async () => {
  const world = new World();
  const client = await world.connected();
  const [one, two] = [client.publish({ to: "omid", id: "one" }), client.unsubscribe({ to: "*" })];
  await quiet();
  const frame = world.socket.one("publish");
  const late = expect(one).rejects.toMatchObject({ code: "storage-full", retryable: true, retryAfterMs: 500 });
  await world.socket.say(
    { type: "error", ref: frame.ref, code: "storage-full", retryable: true, retryAfterMs: 500, hint: null },
    ok(world.socket.one("unsubscribe")),
  );
  await Promise.all([late, two]);
  await world.time.pass(60_000);
  expect(world.socket.take("publish")).toEqual([]);
  await client.close();
});

test("what is under way is bounded in bytes too", async () => {
  const world = new World();
  const client = await world.connected();
  const content = "x".repeat(50_000);
  for (let index = 0; index < 5; index++) void client.publish({ to: "omid", content }).catch(() => {});
  await quiet();
  const frames = world.socket.take("publish");
  expect(frames.map(({ line }) => line!.number)).toEqual([1, 2]);
  await world.socket.say({
    type: "error",
    ref: frames[0]!.ref,
    code: "forbidden",
    retryable: false,
    retryAfterMs: null,
    hint: null,
  });
  expect(world.socket.take("publish").map(({ line }) => line!.number)).toEqual([3]);
  await client.close();
});

test("more than 1 MiB does not wait", async () => {
  const world = new World();
  const client = world.connect();
  const kept = Array.from({ length: 17 }, () => client.publish({ to: "omid", content: "x".repeat(60_000) }));
  for (const publish of kept) publish.catch(() => {});
  await expect(client.publish({ to: "omid", content: "x".repeat(60_000) })).rejects.toMatchObject({ code: "too-many" });
  void client.publish({ to: "omid", content: "short" }).catch(() => {});
  await client.close();
});

test("after 12 hours a request is given up: its outcome is unknown if it was said, else nothing has happened", async () => {
  const world = new World();
  const client = await world.connected();
  const said = client.publish({ to: "omid", id: "said" });
  await quiet();
  world.socket.take("publish");
  const saidIs = expect(said).rejects.toMatchObject({ code: "outcome-unknown", retryable: false });
  await world.socket.end(1006);
  await world.time.pass(HOUR_MS);
  const unsaid = client.publish({ to: "omid", id: "unsaid" });
  const unsaidIs = expect(unsaid).rejects.toMatchObject({ code: "timeout", retryable: true });
  await world.time.pass(11 * HOUR_MS);
  await saidIs;
  await world.time.pass(HOUR_MS);
  await unsaidIs;
  await client.close();
});

test("the time that a machine sleeps counts, though its monotonic clock stands still", async () => {
  const world = new World();
  const client = await world.connected();
  const old = client.publish({ to: "omid", id: "old" });
  await quiet();
  await world.again();
  expect(world.socket.one("publish").line!.ageMs).toBeLessThan(HOUR_MS);
  world.time.sleep(5 * HOUR_MS, false);
  await world.again();
  expect(world.socket.one("publish").line!.ageMs).toBeGreaterThanOrEqual(5 * HOUR_MS);
  world.time.sleep(7 * HOUR_MS, false);
  const given = expect(old).rejects.toMatchObject({ code: "outcome-unknown" });
  await world.again();
  await given;
  expect(world.socket.take("publish")).toEqual([]);
  await client.close();
});

test("logout overtakes: what waits is rejected with signed-out, and nothing more is taken", async () => {
  const world = new World();
  const client = await world.connected();
  const waiting = Array.from({ length: 40 }, (_, index) => client.publish({ to: "omid", id: `${index}` }));
  const all = Promise.all(
    waiting.map((publish) => expect(publish).rejects.toMatchObject({ code: "signed-out", retryable: false })),
  );
  await quiet();
  const out = client.logout();
  await all;
  await expect(client.publish({ to: "omid" })).rejects.toMatchObject({ code: "signed-out" });
  await quiet();
  await world.socket.say(ok(world.socket.one("logout")));
  await out;
});

test("after a logout that was refused requests are taken again", async () => {
  const world = new World();
  const client = await world.connected();
  const out = expect(client.logout()).rejects.toMatchObject({ code: "unavailable" });
  await quiet();
  const { ref } = world.socket.one("logout");
  await world.socket.say({ type: "error", ref, code: "unavailable", retryable: true, retryAfterMs: null, hint: null });
  await out;
  void client.publish({ to: "omid" }).catch(() => {});
  await quiet();
  expect(world.socket.take("publish")).toHaveLength(1);
  await client.close();
});
