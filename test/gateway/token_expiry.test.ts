import { expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import type { Authenticate } from "../../mod.ts";
import { Expiries } from "../../src/gateway/expiries.ts";
import { decodeServerFrames } from "../../src/protocol/codec.ts";
import { createBench } from "./wire.ts";

const START = Date.UTC(2026, 0, 1);

/** Tokens say whose they are and for how many seconds from the start: `sara 60`. */
const authenticate: Authenticate = ({ token }) => {
  const [userId = "", seconds] = token!.split(" ");
  if (userId === "broken") throw new Error("down");
  return userId === "nobody" ? null : { userId, expiresAt: seconds === undefined ? undefined : START + Number(seconds) * 1_000 };
};

test("a client is asked for a fresh token 30 s before its own runs out, then closed with 4001 and held as recent", async () => {
  const { clock, open, state } = await createBench({ authenticate });
  const sara = await open("sara 100");
  await clock.advance(69_999);
  sara.ack();
  expect(sara.of("expiring")).toEqual([]);
  await clock.advance(1);
  expect(sara.of("expiring")).toEqual([{ type: "expiring", inMs: 30_000 }]);
  await clock.advance(29_999);
  expect(sara.closedWith).toBeUndefined();
  await clock.advance(1);
  expect(sara.of("error")).toMatchObject([{ ref: null, code: "expired", retryable: true }]);
  expect(sara.closedWith).toBe(4001);
  expect(await state("sara")).toBe("disconnected.recent");
});

test("a short-lived token is asked for at half its life, and a fraction of a millisecond is not put on the wire", async () => {
  const { clock, open } = await createBench({ authenticate });
  const sara = await open("sara 10.0005");
  await clock.advance(5_001);
  expect(sara.of("expiring")).toEqual([{ type: "expiring", inMs: 5_000 }]);
});

test("a renewed token keeps the connection open, until that one runs out", async () => {
  const { clock, open } = await createBench({ authenticate });
  const sara = await open("sara 60");
  await clock.advance(40_000);
  sara.send({ type: "token", ref: 1, token: "sara 160" });
  await clock.settle();
  expect(sara.answer(1)).toEqual({ type: "ok", ref: 1, value: null });
  await clock.advance(50_000);
  expect(sara.of("expiring")).toHaveLength(1);
  sara.ack();
  await clock.advance(40_000);
  expect(sara.of("expiring")).toHaveLength(2);
  expect(sara.closedWith).toBeUndefined();
  sara.send({ type: "token", ref: 2, token: "sara" });
  await clock.advance(60_000);
  expect(sara.closedWith).toBeUndefined();
});

test("another user's token is refused by an answer: the connection goes on until its own ends, and no other session is opened", async () => {
  const { clock, engine, open, state } = await createBench({ authenticate });
  const sara = await open("sara 60");
  sara.send({ type: "token", ref: 1, token: "omid 600" });
  await clock.settle();
  expect(sara.of("error")).toMatchObject([{ ref: 1, code: "unauthorized", retryable: false }]);
  await engine.publish({ to: "sara", content: "still hers" });
  await clock.advance(30_000);
  sara.ack();
  await clock.advance(29_999);
  expect(sara.contents).toEqual(["still hers"]);
  expect(await state("sara")).toMatch(/^connected/);
  await clock.advance(1);
  expect(sara.closedWith).toBe(4001);
  expect(await engine.sessions("omid")).toEqual([]);
});

test.each([["nobody", "unauthorized", false], ["broken", "unavailable", true], ["sara -1", "expired", true]])(
  "a token %j is refused by an answer, and the old one counts until its end",
  async (token, code, retryable) => {
    const { clock, open } = await createBench({ authenticate });
    const sara = await open("sara 60");
    sara.send({ type: "token", ref: 7, token });
    await clock.settle();
    expect(sara.answer(7)).toMatchObject({ type: "error", code, retryable });
    await clock.advance(59_999);
    expect(sara.closedWith).toBeUndefined();
    await clock.advance(1);
    expect(sara.closedWith).toBe(4001);
  },
);

test("a revoked user is signed out with 4103, and a token that is none any more does not get back in", async () => {
  let revoked = false;
  const { clock, engine, open } = await createBench({ authenticate: ({ token }) => revoked ? null : { userId: token! } });
  const sara = await open("sara");
  revoked = true;
  expect(await engine.revoke("sara")).toBe(1);
  expect(sara.closedWith).toBe(4103);
  expect((await open("sara")).end).toBe("unauthorized 4100");
  await clock.settle();
  expect(sara.late).toBe(0);
  expect(await engine.sessions("sara")).toEqual([]);
});

test("an expiry beyond what a timer can count does not fire at once, and fires in the end", async () => {
  const clock = createManualClock();
  const asked: number[] = [];
  const says: string[] = [];
  const expiries = new Expiries({
    ...clock,
    setTimeout(task, ms) {
      asked.push(ms);
      // What runtimes do.
      return clock.setTimeout(task, ms > 2 ** 31 - 1 ? 1 : ms);
    },
  });
  const days = 24 * 3600_000;
  const connection = {
    write: (bytes: Uint8Array) => void says.push(decodeServerFrames(bytes)[0]!.type),
    fail: ({ code }: { code: string }) => void says.push(code),
  };
  expiries.set(connection, clock.now() + 60 * days);
  await clock.advance(60 * days - 30_001);
  expect(says).toEqual([]);
  await clock.advance(1);
  expect(says).toEqual(["expiring"]);
  await clock.advance(30_000);
  expect(says).toEqual(["expiring", "expired"]);
  expect(Math.max(...asked)).toBe(2 ** 31 - 1);
  expect(clock.timers).toBe(0);
});

test("no timer is left of the tokens of connections that are gone", async () => {
  const { clock, open } = await createBench({ authenticate });
  const timers = clock.timers;
  const sara = await open("sara 60");
  const omid = await open("omid 60");
  await clock.advance(31_000);
  sara.leave();
  omid.send({ type: "logout", ref: 1 });
  await clock.settle();
  expect(omid.closedWith).toBe(4103);
  expect(clock.timers).toBe(timers);
});
