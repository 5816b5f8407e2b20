import process from "node:process";
import type { Engine } from "../../mod.ts";
import { Device } from "./device.ts";
import { digits } from "./figures.ts";
import { fileStorage, type Ground, startEngine } from "./ground.ts";
import { sleep, until } from "./time.ts";

const LIMIT_MS = 120_000;
/** Longer than cursors are written behind. */
const QUIET_MS = 1_500;
/** Messages after which nothing of the code itself is new any more. */
const WARMING = 500;

/** How many messages each user gets, and what each of them weighs, bytes. */
export interface Traffic {
  messages: number;
  bytes: number;
}

/** What stays in memory of users who are connected and have acked everything that they were sent. `explain()` remembers nothing. */
export async function measureHeld({ bytes, messages }: Traffic, ground: Ground): Promise<void> {
  const { plan: { held: { users } }, report } = ground;
  const engine = await startEngine({ storage: fileStorage(ground, `held ${bytes}`), limits: { explainBytes: 0 } });
  const content = "x".repeat(bytes);
  const names = Array.from({ length: users }, (_, index) => `user ${index}`);
  for (const userId of ["warming", ...names]) await Device.signIn(engine, { userId });
  await send(engine, ["warming"], WARMING, content);
  const before = await memoryOf(engine);
  await send(engine, names, messages, content);
  const after = await memoryOf(engine);
  const perUser = (value: number): string => digits(Math.max(0, value) / users / 1_024);
  const what = `${digits(users)} connected users, after ${digits(messages)} messages of ${digits(bytes)} B each`;
  report(`${what}: memory of each, KB`, perUser(after.memory - before.memory), {
    before: bytes < 1_000 ? "3,425" : "35,031",
    target: "≤ 64",
  });
  report("  in caches, KB", perUser(after.caches - before.caches));
  await engine.close();
}

async function send(engine: Engine, users: readonly string[], messages: number, content: string): Promise<void> {
  const acked = engine.counters().acked + users.length * messages;
  for (let sent = 0; sent < messages; sent++) await Promise.all(users.map((to) => engine.publish({ to, content })));
  if (!await until(LIMIT_MS, () => engine.counters().acked >= acked)) throw new Error("not everything was acked");
}

/** Bytes on the heap and beside it, once nothing is under way. */
async function memoryOf(engine: Engine): Promise<{ memory: number; caches: number }> {
  await sleep(QUIET_MS);
  const { gc } = globalThis as { gc?: () => void };
  for (let round = 0; round < 4; round++) gc?.();
  const { external, heapUsed } = process.memoryUsage();
  const { bytes } = engine.counters();
  return { memory: heapUsed + external, caches: Object.values(bytes).reduce((sum, held) => sum + held, 0) };
}
