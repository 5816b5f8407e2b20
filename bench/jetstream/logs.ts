import type { OpenStorage } from "../../src/ports/storage.ts";
import { quantile } from "../fan_out/statistics.ts";
import type { Plan, Report } from "./plan.ts";
import type { Stage } from "./stage.ts";
import { inTurn, perSecond } from "./timing.ts";

const TOPICS = 1_000;
/** Of what is published here. */
export const PAYLOAD_BYTES = 300;
/** Entries that somebody who catches up is given at a time. */
const PAGE = 100;

/** Topic logs: what an entry takes, what catching up and the sweep's work cost. */
export async function measureLogs(stage: Stage, plan: Plan, report: Report): Promise<void> {
  const storage = await stage.open();
  const rate = await perSecond(plan.entries, (index) => publish(storage, topicOf(index), index));
  report(`durable publishes of ${PAYLOAD_BYTES} B, the adapter alone`, "/s", rate);
  const { bytes, messages } = await stage.stored("LOG_0");
  report("an entry in a log, beside its bytes", "B", bytes / messages - PAYLOAD_BYTES);

  await measureWork(storage, plan.entries, report);

  await perSecond(PAGE * 10, (index) => publish(storage, "reza/default", index));
  const took = await inTurn(plan.alone, async (index) => {
    const { entries } = await storage.history!.read("reza/default", 0, PAGE);
    if (entries.length !== PAGE) throw new Error(`${entries.length} entries in page ${index}`);
  });
  report(`a page of ${PAGE} entries to somebody who catches up, p50`, "ms", quantile(took, 0.5));
  report("  p99 of such a page", "ms", quantile(took, 0.99));
  await storage.close();
}

/** Everything that was published is handed out as work, to a handler that has nothing to do. */
async function measureWork({ work }: OpenStorage, entries: number, report: Report): Promise<void> {
  const heads = new Map<string, number>();
  const [started, before] = [performance.now(), process.cpuUsage()];
  let done = (): void => {};
  const all = new Promise<void>((resolve) => done = resolve);
  let last = 0;
  const consuming = await work!.consume(({ topic, head }) => {
    heads.set(topic, head.offset);
    last = Math.max(last, head.offset);
    if (last >= entries && heads.size >= Math.min(entries, TOPICS)) done();
    return Promise.resolve();
  });
  await all;
  const [took, { user, system }] = [performance.now() - started, process.cpuUsage(before)];
  await consuming.close();
  report("entries handed to the sweep as work", "/s", entries / took * 1_000);
  report("  CPU of the node for each", "µs", (user + system) / entries);
}

/** Private topics in turn. */
export function topicOf(index: number): string {
  return `user ${index % TOPICS}/default`;
}

/** The `index`-th of so many entries. */
export function publish({ transport }: OpenStorage, topic: string, index: number): Promise<unknown> {
  const bytes = new Uint8Array(PAYLOAD_BYTES).fill(index);
  return transport.publish(topic, bytes, { key: crypto.randomUUID(), expiresAt: Date.now() + 3600_000 });
}
