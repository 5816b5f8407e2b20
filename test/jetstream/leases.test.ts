import { expect, test } from "vitest";
import { session, user } from "../../adapters/conformance/records.ts";
import type { ManualClock } from "../../adapters/conformance/conformance.ts";
import { openNodes, shareServer, type StateNode, until } from "./state_stage.ts";

const stage = shareServer();
const { connections } = stage;

const LEASE_MS = 1_500;
const RENEW_MS = 500;

interface Pair {
  a: StateNode & { clock: ManualClock };
  b: StateNode & { clock: ManualClock };
}

/** Node a holds sara, b watches. */
async function open(): Promise<Pair> {
  const [a, b] = await openNodes(2, connections);
  await a!.users.lease("a", LEASE_MS);
  await b!.users.lease("b", LEASE_MS);
  await a!.users.put(user("sara", { sessions: [session("phone", { node: "a" })] }), "both");
  return { a: a!, b: b! };
}

async function close({ a, b }: Pair): Promise<void> {
  await a.close();
  await b.close();
}

/** Time passes on b, which renews its lease. */
async function pass({ b }: Pair, ms: number, meanwhile?: () => Promise<void>): Promise<void> {
  for (let left = ms; left > 0; left -= RENEW_MS) {
    await b.clock.advance(Math.min(left, RENEW_MS));
    await meanwhile?.();
    await b.users.lease("b", LEASE_MS);
    await b.users.liveNodes();
  }
}

async function orphans({ b }: Pair): Promise<string[]> {
  return (await b.users.orphans({ after: undefined, limit: 10 })).names;
}

test("a lease that is renewed never lapses on another node, one that is not does", async () => {
  const pair = await open();
  expect((await pair.b.users.liveNodes()).sort()).toEqual(["a", "b"]);
  await pass(pair, 4 * LEASE_MS, () => pair.a.users.lease("a", LEASE_MS));
  expect(await orphans(pair)).toEqual([]);
  await pass(pair, LEASE_MS - RENEW_MS);
  expect(await orphans(pair)).toEqual([]);
  await pass(pair, RENEW_MS);
  expect(await orphans(pair)).toEqual(["sara"]);
  expect(await pair.b.users.liveNodes()).toEqual(["b"]);
  await close(pair);
});

test("a node that leaves is gone at once, and forgotten when it holds nobody", async () => {
  const pair = await open();
  const { a, b } = pair;
  await a.users.lease("a", 0);
  expect(await b.users.liveNodes()).toEqual(["b"]);
  expect(await orphans(pair)).toEqual(["sara"]);
  await b.users.put({ ...(await b.users.get("sara"))!, sessions: [session("phone", { node: "b" })] }, "both");
  expect(await orphans(pair)).toEqual([]);
  expect(await a.users.liveNodes()).not.toContain("a");
  // Whoever comes back under that name is known again.
  await a.users.put({ ...(await a.users.get("sara"))!, sessions: [session("phone", { node: "a" })] }, "both");
  expect(await orphans(pair)).toEqual(["sara"]);
  await close(pair);
});

test("a node that never had a lease has lapsed", async () => {
  const pair = await open();
  await pair.a.users.put(user("omid", { sessions: [session("phone", { node: "nowhere" })] }), "both");
  expect(await orphans(pair)).toEqual(["omid"]);
  // To be known is not to live, and a lease that is there is not overwritten by being named.
  await pair.b.users.put(user("mina", { sessions: [session("phone", { node: "a" })] }), "both");
  expect((await pair.b.users.liveNodes()).sort()).toEqual(["a", "b"]);
  await close(pair);
});

test("a node that slept takes nobody for dead when it wakes", async () => {
  const pair = await open();
  await pair.b.users.liveNodes();
  await pair.b.clock.advance(10 * LEASE_MS);
  expect(await orphans(pair)).toEqual([]);
  await pair.b.users.lease("b", LEASE_MS);
  expect(await pair.b.users.liveNodes()).toContain("b");
  expect(await orphans(pair)).toEqual([]);
  await pass(pair, LEASE_MS - RENEW_MS);
  expect(await orphans(pair)).toEqual([]);
  await pass(pair, RENEW_MS);
  expect(await orphans(pair)).toEqual(["sara"]);
  await close(pair);
});

test("while nobody can renew, nobody is dead", async () => {
  const pair = await open();
  await pass(pair, LEASE_MS - RENEW_MS);
  await stage.server.pause();
  try {
    const asking = (): Promise<unknown> => connections[1]!.request("$JS.API.INFO", undefined, { timeout: 50 });
    await until(() => asking().then(() => false, () => true), "the server answers nothing any more");
    await expect(pair.b.users.lease("b", LEASE_MS)).rejects.toMatchObject({ code: "unavailable", retryable: true });
  } finally {
    stage.server.resume();
  }
  await pair.b.clock.advance(RENEW_MS);
  await pair.b.users.lease("b", LEASE_MS);
  expect(await orphans(pair)).toEqual([]);
  await pass(pair, LEASE_MS - RENEW_MS);
  expect(await orphans(pair)).toEqual([]);
  await pass(pair, RENEW_MS);
  expect(await orphans(pair)).toEqual(["sara"]);
  await close(pair);
});

test("a renewal that takes long delays another node's end by that time, not by a whole lease", async () => {
  const pair = await open();
  const { b } = pair;
  await b.users.liveNodes();
  await pass(pair, LEASE_MS - RENEW_MS);
  await stage.server.pause();
  const slow = b.users.lease("b", LEASE_MS);
  await b.clock.advance(RENEW_MS);
  stage.server.resume();
  await slow;
  expect(await orphans(pair)).toEqual([]);
  await pass(pair, RENEW_MS);
  expect(await orphans(pair)).toEqual(["sara"]);
  await close(pair);
});
