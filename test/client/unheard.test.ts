import { expect, onTestFinished, test } from "vitest";
import { unhandledRejections } from "../engine/rejections.ts";
import { entry, World } from "./fake_server.ts";

/** What the client lets the runtime report as unhandled: each ends a process that does not listen. */
function unheard(): unknown[] {
  const thrown: unknown[] = [];
  const { queueMicrotask } = globalThis;
  globalThis.queueMicrotask = (task) =>
    queueMicrotask(() => {
      try {
        task();
      } catch (error) {
        thrown.push(error);
      }
    });
  onTestFinished(() => void (globalThis.queueMicrotask = queueMicrotask));
  return thrown;
}

const fails = [
  ["throws", "internal", () => {
    throw new Error("mine");
  }],
  ["rejects", "internal", () => Promise.reject(new Error("mine"))],
  ["hangs", "timeout", () => new Promise<void>(() => {})],
] as const;

test.each(fails)(
  "a handler that %s while nobody listens to onError is reported as an unhandled error is, once",
  async (_, code, fault) => {
    const thrown = unheard();
    const world = new World();
    const client = await world.connected();
    client.onMessage(fault);
    await world.socket.say(entry(1));
    for (let i = 0; i < 6; i++) {
      await world.time.pass(20_000);
      await world.socket.say({ type: "ping" });
    }
    expect(thrown).toMatchObject([{ name: "PeykError", code, ...(code === "internal" ? { cause: { message: "mine" } } : {}) }]);
    await client.close();
  },
);

test("a handler of an ephemeral message that throws is reported too", async () => {
  const thrown = unheard();
  const world = new World();
  const client = await world.connected();
  client.onMessage(() => Promise.reject(new Error("mine")));
  const { envelope } = entry(1) as { envelope: Uint8Array };
  await world.socket.say({ type: "ephemeral", topic: "sara/default", envelope });
  expect(thrown).toMatchObject([{ code: "internal", cause: { message: "mine" } }]);
  await client.close();
});

test("where somebody listens to onError it is told there, and is no unhandled error", async () => {
  const thrown = unheard();
  const world = new World();
  const client = await world.connected();
  const told: unknown[] = [];
  const leave = client.onError((error) => void told.push(error.code));
  client.onMessage(() => Promise.reject(new Error("mine")));
  await world.socket.say(entry(1));
  await world.time.pass(10_000);
  expect([told, thrown]).toEqual([["internal"], []]);
  leave();
  await world.socket.say(entry(2));
  await world.time.pass(10_000);
  expect([told, thrown.length]).toEqual([["internal"], 1]);
  await client.close();
});

test("a message that can't be read is its sender's fault: it ends nobody's process", async () => {
  const thrown = unheard();
  const world = new World();
  const client = await world.connected();
  const told: unknown[] = [];
  client.onMessage(() => {});
  await world.socket.say({ ...entry(1), envelope: new Uint8Array([0x90]) } as never);
  client.onError((error) => void told.push(error.code));
  await world.socket.say({ ...entry(2), envelope: new Uint8Array([0x90]) } as never);
  expect([told, thrown]).toEqual([["bad-message"], []]);
  await client.close();
});

test("a listener that throws is reported, whichever it is, and the others are told", async () => {
  const thrown = unheard();
  const world = new World();
  const client = await world.connected();
  const told: string[] = [];
  const mine = (name: string) => () => {
    told.push(name);
    throw new Error(name);
  };
  client.onStatus(mine("status"));
  client.onSubscriptions(mine("subscriptions"));
  client.onGap(mine("gap"));
  client.onReceipt(mine("receipt"));
  client.onError(mine("error"));
  client.onMessage(() => Promise.reject(new Error("handler")));
  await world.socket.say(
    { type: "gap", topic: "sara/default", epoch: 7, offset: 0 },
    { type: "receipt", kind: "read", topic: "omid/default", id: "i", epoch: 1, offset: 2, at: 3 },
    entry(1),
  );
  await world.time.pass(10_000);
  expect(told.toSorted()).toEqual(["error", "gap", "receipt", "status", "subscriptions"]);
  expect(thrown.map((error) => (error as Error).message).toSorted()).toEqual(told.toSorted());
  await client.close();
});

test("the promise of a listener that rejects is left to the runtime, which reports it", async () => {
  const faults = unhandledRejections();
  const world = new World();
  const client = await world.connected();
  const leave = client.onStatus(() => Promise.reject(new Error("mine")) as never);
  await new Promise((resolve) => setTimeout(resolve, 1));
  expect(faults.map((fault) => (fault as Error).message)).toEqual(["mine"]);
  leave();
  await client.close();
});
