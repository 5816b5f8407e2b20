import { expect, test } from "vitest";
import type { StateStream } from "../../adapters/jetstream/state_stream.ts";
import { TopicDecisions } from "../../adapters/jetstream/topic_decisions.ts";
import { bytesOf } from "../../adapters/jetstream/user_document.ts";
import type { VersionWriter } from "../../adapters/jetstream/versions.ts";
import { session } from "../../adapters/conformance/records.ts";

test("of topics' decisions so many are remembered as the bound in bytes lets be, however long their names are", async () => {
  const writes = Array.from({ length: 16 }, () => crypto.randomUUID());
  let seq = 0;
  let reads = 0;
  const writer = { write: () => Promise.resolve({ seq: ++seq, writes }) } as unknown as VersionWriter;
  const stream = { prefix: "st", read: () => Promise.resolve(void reads++) } as unknown as StateStream;
  const decisions = new TopicDecisions(stream, writer);
  const put = (name: number): Promise<number | undefined> => {
    const topic = `*/${`${name}`.padStart(120, "x")}`;
    return decisions.put({ topic, version: 0, epoch: 1, decided: 0, goal: 1 }, []);
  };
  await put(0);
  const one = decisions.heldBytes;
  expect(one).toBeGreaterThan(1_000);
  await put(0);
  expect(decisions.heldBytes).toBe(one);
  for (let name = 0; name < 9_000; name++) await put(name);
  expect(decisions.heldBytes).toBeLessThanOrEqual(8 * 1024 * 1024);
  expect(decisions.heldBytes).toBeGreaterThan(7 * 1024 * 1024);
  expect(reads).toBeGreaterThan(0);
});

test("what a remembered user takes grows with the length of its targets' tokens", () => {
  const withToken = (token: string): number => {
    const targets = [{ id: "t", provider: "p", token, registeredAt: 1 }];
    const devices = { userId: "sara", seenAt: 1, subscriptions: {}, sessions: [session("phone", { targets })] };
    return bytesOf({
      devices: { devices, since: 0, seq: 1, writes: [] },
      positions: { positions: { progress: {}, handled: {} }, seq: 1, writes: [] },
    });
  };
  expect(withToken("x".repeat(4_000)) - withToken("")).toBe(4_000);
});
