import { expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import { type Authenticate, type Credentials, PeykError } from "../../mod.ts";
import { createBench, type Wire } from "./wire.ts";

const EXPIRED = createManualClock().now() - 1;

/** Says whose a token is, and notes what it was asked. */
function noting(asked: Credentials[] = []): Authenticate {
  return (credentials) => {
    asked.push(credentials);
    switch (credentials.token) {
      case "nobody":
        return null;
      case "broken":
        throw new Error("down");
      case "refused":
        throw new PeykError("forbidden", "not from here");
      case "old":
        return { userId: "sara", expiresAt: EXPIRED };
      case "hangs":
        return new Promise(() => {});
    }
    return { userId: credentials.token!.split(" ")[0]! };
  };
}

function identify(wire: Wire, ref: number, token: string): void {
  wire.send({ type: "identify", ref, token });
}

test("identify says whose a token is, the user's own or another's, and changes nothing of the session", async () => {
  const asked: Credentials[] = [];
  const { clock, engine, open } = await createBench({ authenticate: noting(asked) });
  const sara = await open("sara first");
  const before = await engine.sessions("sara");
  identify(sara, 1, "sara second");
  identify(sara, 2, "omid");
  await clock.settle();
  expect([sara.answer(1), sara.answer(2)]).toMatchObject([
    { type: "ok", value: { userId: "sara" } },
    { type: "ok", value: { userId: "omid" } },
  ]);
  expect(asked.slice(1)).toEqual([
    { token: "sara second", deviceId: "sara first's device", request: undefined },
    { token: "omid", deviceId: "sara first's device", request: undefined },
  ]);
  expect(await engine.sessions("sara")).toEqual(before);
  expect(await engine.sessions("omid")).toEqual([]);
  sara.publish("sara/default", "mine still", { ref: 3 });
  await clock.settle();
  expect(sara.contents).toEqual(["mine still"]);
});

test("a token that is identified does not renew the session's own", async () => {
  const { clock, open } = await createBench({
    authenticate: ({ token }) => ({ userId: "sara", expiresAt: clock.now() + (token === "short" ? 60_000 : 600_000) }),
  });
  const sara = await open("short");
  identify(sara, 1, "long");
  await clock.advance(60_000);
  expect(sara.end).toBe("expired 4001");
});

test.each([
  ["nobody", "unauthorized", false],
  ["broken", "unavailable", true],
  ["refused", "forbidden", false],
  ["old", "expired", true],
])("a token %j that is identified is answered with %s, and the connection goes on", async (token, code, retryable) => {
  const { clock, open } = await createBench({ authenticate: noting() });
  const sara = await open("sara");
  identify(sara, 1, token);
  await clock.settle();
  expect(sara.answer(1)).toMatchObject({ type: "error", code, retryable });
  expect(sara.closedWith).toBeUndefined();
});

test("what authenticate() does not answer in time is unavailable; until then it is one of the 256 requests that wait", async () => {
  const { clock, open } = await createBench({ authenticate: noting(), heartbeatMs: 60_000 });
  const sara = await open("sara");
  for (let ref = 1; ref <= 257; ref++) identify(sara, ref, "hangs");
  await clock.settle();
  expect(sara.of("error")).toMatchObject([{ ref: 257, code: "too-many", retryable: true }]);
  await clock.advance(10_000);
  expect(sara.answer(1)).toMatchObject({ code: "unavailable", retryable: true });
  identify(sara, 300, "omid");
  await clock.settle();
  expect(sara.answer(300)).toMatchObject({ value: { userId: "omid" } });
});

test("an answer that is late for a connection that is gone goes nowhere", async () => {
  const late = Promise.withResolvers<{ userId: string }>();
  const { clock, errors, open } = await createBench({
    authenticate: ({ token }) => token === "late" ? late.promise : { userId: token! },
  });
  const sara = await open("sara");
  identify(sara, 1, "late");
  sara.drop();
  late.resolve({ userId: "omid" });
  await clock.settle();
  expect([sara.answer(1), errors]).toEqual([undefined, []]);
});
