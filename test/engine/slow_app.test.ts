import { expect, onTestFinished, test } from "vitest";
import { connect, type PeykClient, type Status } from "../../src/client/client.ts";
import { serve } from "./real_server.ts";

// An app that is slower than its messages come, over real sockets and in real time.

const COUNT = 9_000;

/** Follows a client: how it stood, and what its handler was given. */
function follow(
  peyk: PeykClient,
  handled: (content: string | undefined) => unknown,
): { statuses: Status["state"][]; count: () => number; until: (count: number) => Promise<void> } {
  const statuses: Status["state"][] = [];
  peyk.onStatus(({ state }) => void statuses.push(state));
  let count = 0;
  const waits: { count: number; resolve: () => void }[] = [];
  peyk.onMessage(async ({ content }) => {
    await handled(content);
    count++;
    for (const wait of waits) if (count >= wait.count) wait.resolve();
  });
  return {
    statuses,
    count: () => count,
    until: (count) => new Promise((resolve) => void waits.push({ count, resolve })),
  };
}

const aMillisecond = () => new Promise<void>((resolve) => void setTimeout(resolve, 1));

test(`${COUNT} stored messages and a handler of 1 ms: each comes once, in order, over one connection, and nothing is pushed`, async () => {
  const { engine, provider, url } = await serve();
  await engine.subscribe("sara", { to: "sara" });
  await Promise.all(Array.from({ length: COUNT }, (_, i) => engine.publish({ to: "sara", content: `${i}` })));
  const peyk = connect(url, { token: "sara" });
  onTestFinished(() => peyk.close());
  await peyk.registerPush({ provider: "fake", token: "phone" });
  const got: (string | undefined)[] = [];
  let busyMs = 0;
  const { statuses, until } = follow(peyk, async (content) => {
    got.push(content);
    const began = performance.now();
    await aMillisecond();
    busyMs += performance.now() - began;
  });
  const began = performance.now();
  await until(COUNT);
  const tookMs = performance.now() - began;
  expect(got).toEqual(Array.from({ length: COUNT }, (_, i) => `${i}`));
  expect(engine.counters().delivered).toBe(COUNT);
  expect(statuses.filter((state) => state === "connecting").length).toBeLessThanOrEqual(1);
  expect(provider.sent).toEqual([]);
  // A timer of 1 ms takes longer than that: what counts is that the handler never waited.
  expect(tookMs - busyMs).toBeLessThan(2_000);
});

test("what is said meanwhile waits its turn: not pushed, not lost, over one connection", async () => {
  const { engine, provider, url } = await serve({ policy: { ackTimeoutMs: 300 } });
  await engine.subscribe("sara", { to: "sara" });
  await Promise.all(Array.from({ length: 3_000 }, (_, i) => engine.publish({ to: "sara", content: `${i}` })));
  const peyk = connect(url, { token: "sara" });
  onTestFinished(() => peyk.close());
  await peyk.registerPush({ provider: "fake", token: "phone" });
  const { statuses, until } = follow(peyk, aMillisecond);
  for (let i = 0; i < 50; i++) {
    await engine.publish({ to: "sara", content: `late ${i}` });
    await new Promise((resolve) => void setTimeout(resolve, 20));
  }
  await until(3_050);
  expect(engine.counters().delivered).toBe(3_050);
  expect(statuses.filter((state) => state === "connecting").length).toBeLessThanOrEqual(1);
  expect(provider.sent).toEqual([]);
});
