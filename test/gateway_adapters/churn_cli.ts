/**
 * What 10,000 upgrades leave behind, a third of them refused and a third reset:
 * `node --expose-gc test/gateway_adapters/churn_cli.ts [upgrades]`.
 */
import { setImmediate } from "node:timers/promises";
import process from "node:process";
import { churn } from "./churn.ts";

const upgrades = Number(process.argv[2] ?? 10_000);
const ALLOWED_BYTES = 5 * 1024 * 1024;

async function heapBytes(): Promise<number> {
  for (let i = 0; i < 5; i++) {
    (globalThis as { gc?: () => void }).gc?.();
    await setImmediate();
  }
  return process.memoryUsage().heapUsed + process.memoryUsage().external;
}

// The first run brings in code and caches that stay.
await churn({ upgrades: Math.min(upgrades, 1_000), atOnce: 100 });
const before = await heapBytes();
const start = performance.now();
const left = await churn({ upgrades, atOnce: 100 });
const seconds = (performance.now() - start) / 1_000;
const grown = await heapBytes() - before;
const handles = process.getActiveResourcesInfo().filter((name) => name.startsWith("TCP"));
console.log({ upgrades, seconds: Number(seconds.toFixed(1)), ...left, handles, grownKiB: Math.round(grown / 1_024) });
if (left.open + left.sockets + left.connections + handles.length > 0 || grown > ALLOWED_BYTES) process.exitCode = 1;
