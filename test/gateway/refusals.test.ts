import { expect, test } from "vitest";
import type { EngineOptions, Logger } from "../../mod.ts";
import { createBench, helloFrame } from "./wire.ts";

/** An engine, and the warnings it logs with their fields. */
async function logging(options: EngineOptions = {}) {
  const logged: unknown[] = [];
  const hints = new Map<unknown, unknown>();
  const warn: Logger["warn"] = (message, { hint, ...fields } = {}) => {
    hints.set(fields.reason, hint);
    logged.push({ message, ...fields });
  };
  const bench = await createBench({ ...options, logger: { info() {}, warn, error: warn } });
  return { ...bench, logged, hints };
}

test("the first refused upgrade of each reason is logged at once, those after it once a minute with their number", async () => {
  const { engine, clock, logged } = await logging();
  const timers = clock.timers;
  const message = "an upgrade was refused";
  engine.refused("origin", "https://a.test at here.test");
  engine.refused("path", "/wrong");
  expect(logged).toEqual([
    { message, reason: "origin", what: "https://a.test at here.test" },
    { message, reason: "path", what: "/wrong" },
  ]);
  logged.length = 0;
  for (let i = 0; i < 1_000; i++) engine.refused("origin", `https://${i}.test at here.test`);
  await clock.advance(59_999);
  expect(logged).toEqual([]);
  await clock.advance(1);
  expect(logged).toEqual([{ message, reason: "origin", what: "https://999.test at here.test", repeated: 1_000 }]);
  engine.refused("origin", "https://b.test at here.test");
  await clock.advance(60_000);
  expect(logged.slice(1)).toEqual([{ message, reason: "origin", what: "https://b.test at here.test", repeated: 1 }]);
  // A quiet minute, and the next one is news again. Nothing waits until then.
  await clock.advance(60_000);
  expect(clock.timers).toBe(timers);
  engine.refused("origin", "https://c.test at here.test");
  expect(logged.slice(2)).toEqual([{ message, reason: "origin", what: "https://c.test at here.test" }]);
  expect(engine.counters().refused).toMatchObject({ origin: 1_003, path: 1, host: 0, subprotocol: 0, handshake: 0 });
  await engine.close();
});

test("what strangers send is cut, and closing tells what was counted", async () => {
  const { engine, clock, logged } = await logging();
  engine.refused("path", `/${"x".repeat(300)}`);
  engine.refused("path", "/\ud800");
  await engine.close();
  expect(clock.timers).toBe(0);
  expect(logged).toEqual([
    { message: "an upgrade was refused", reason: "path", what: `/${"x".repeat(199)}` },
    { message: "an upgrade was refused", reason: "path", what: "/\ufffd", repeated: 1 },
  ]);
});

test("connections that never had a session are counted by what ended them", async () => {
  const { clock, engine, wire, open, logged } = await logging({
    authenticate: ({ token }) =>
      token === "sara" ? { userId: "sara" } : token === "old" ? { userId: "old", expiresAt: Date.UTC(2025, 0, 1) } : null,
  });
  const refused = () =>
    Object.entries(engine.counters().refused).filter(([, count]) => count > 0).map(([name, n]) => `${name} ${n}`);
  await open("sara");
  expect(refused()).toEqual([]);
  await open("nobody");
  await open("old");
  wire().raw(new Uint8Array([0xc1]));
  wire().send({ ...helloFrame("sara"), version: 9 });
  wire().leave();
  wire().drop();
  wire().raw(new Uint8Array(100_000));
  wire();
  await clock.advance(10_000);
  expect(refused().toSorted()).toEqual([
    ...["expired 1", "helloTimeout 1", "left 2", "protocol 1", "tooLarge 1", "unauthorized 1", "version 1"],
  ]);
  const before = engine.counters();
  wire().leave();
  expect(before.refused.left).toBe(2); // A copy.
  // What is part of normal operation is only counted.
  const message = "a connection was refused before its welcome";
  expect(logged).toEqual(
    ["unauthorized", "protocol", "version", "tooLarge", "helloTimeout"].map((reason) => ({ message, reason })),
  );
  await engine.close();
});

test.each(
  [
    ["path", "`path`"],
    ["origin", "`origins`"],
    ["origin", "proxy_set_header Host $http_host"],
    ["host", "proxy"],
    ["subprotocol", "peyk.v1"],
    ["handshake", "proxy_http_version 1.1"],
    ["taken", "upgradeHandler"],
  ] as const,
)("a refused upgrade's line says what to do: %s, %s", async (reason, hint) => {
  const { engine, logged, hints } = await logging();
  engine.refused(reason, "what");
  expect(hints.get(reason)).toContain(hint);
  expect(logged).toMatchObject([{ reason, what: "what" }]);
  expect(engine.counters().refused[reason]).toBe(1);
  await engine.close();
});

test("a refused hello's line says what to do, and nothing of the token", async () => {
  const { clock, engine, open, logged, hints } = await logging({ authenticate: () => null });
  for (let i = 0; i < 3; i++) await open("secret-token");
  await clock.advance(60_000);
  const line = { message: "a connection was refused before its welcome", reason: "unauthorized" };
  expect(logged).toEqual([line, { ...line, repeated: 2 }]);
  expect(hints.get("unauthorized")).toContain("authenticate()");
  expect(JSON.stringify([logged, [...hints]])).not.toContain("secret");
  await engine.close();
});
