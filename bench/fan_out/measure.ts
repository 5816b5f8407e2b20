import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Child, startOnNode, startOnNodeWith } from "./child.ts";
import type { PhaseOptions } from "./phase.ts";
import { type Contender, type Load, nameOf, type Plan } from "./plan.ts";
import type { PhaseReport } from "./receiver.ts";
import type { Flooded, FloodOptions } from "./server_process.ts";
import { type Latencies, measureSteady, RECEIVER_LIMIT, reconcile } from "./verified.ts";

/** One load in one round. CPU and rate stem from the flood, latencies from the fixed rate. */
export interface LoadSample extends Load, Latencies {
  deliveries: number;
  cpuMicrosPerDelivery: number;
  deliveriesPerSecond: number;
  verified: number;
  receiverUtilisation: number;
  /** The receiver was the bottleneck: CPU and rate say nothing. */
  void: boolean;
}

/** Runs one contender through all loads, in a server and a receiver process of its own. */
export function measureLoads(contender: Contender, plan: Plan, folder: string): Promise<LoadSample[]> {
  return withPair(contender, plan, folder, async (pair) => {
    await open(pair, 0, plan.subscribers);
    for (const burst of [1, 16]) {
      await flood(pair, { payloadBytes: 64, burst }, { ...plan, leadInMs: 0, floodMs: plan.warmUpMs / 2 });
    }
    const samples: LoadSample[] = [];
    for (const load of plan.loads) {
      const flooded = await flood(pair, load, plan);
      samples.push({ ...flooded, ...await measureSteady(pair.server, pair.receiver, load, plan) });
    }
    return samples;
  });
}

/** Resident memory of the server per idle connection, in processes that do nothing else. */
export function measureIdle(contender: Contender, plan: Plan, folder: string): Promise<number> {
  const { idle, idleBefore, idleMs } = plan;
  return withPair(contender, plan, folder, async (pair) => {
    await open(pair, 0, idleBefore);
    const before = await pair.server.ask<number>("rss");
    await open(pair, idleBefore, idle);
    await sleep(idleMs);
    const after = await pair.server.ask<number>("rss");
    return (after - before) / (idle - idleBefore);
  });
}

/** A server and the receiver of its messages, both fresh. */
interface Pair {
  server: Child;
  receiver: Child;
}

async function withPair<Result>(
  contender: Contender,
  { youngMiB }: Plan,
  folder: string,
  task: (pair: Pair) => Promise<Result>,
): Promise<Result> {
  const tally = join(folder, "tally");
  const receiver = startOnNode("the receiver", here("receiver_process.ts"), contender.peer, tally);
  const server = startServer(contender, youngMiB, tally);
  try {
    return await task({ server, receiver });
  } catch (error) {
    // When one of the two fails the other one soon does too: both are heard, for the cause may be in either.
    await sleep(500);
    throw new Error([nameOf(contender), String(error), receiver.complaint, server.complaint].join("\n"), { cause: error });
  } finally {
    await Promise.all([server.stop(), receiver.stop()]);
  }
}

async function open({ server, receiver }: Pair, from: number, to: number): Promise<void> {
  await receiver.ask("open", { port: await server.ask<number>("port"), to });
  await server.ask("admit", { from, to });
}

function startServer({ peer, runtime }: Contender, youngMiB: number, tally: string): Child {
  const file = here("server_process.ts");
  const young = `--max-semi-space-size=${youngMiB}`;
  if (runtime === "node") return startOnNodeWith([young], `${peer} on node`, file, peer, tally);
  const flags = ["--allow-all", "--quiet", `--v8-flags=--expose-gc,${young}`, "--conditions=peyk-source"];
  return new Child(`${peer} on deno`, "deno", ["run", ...flags, fileURLToPath(file), peer, tally]);
}

function here(file: string): URL {
  return new URL(file, import.meta.url);
}

/** The server publishes as fast as it can: what does a delivery cost? */
async function flood({ server, receiver }: Pair, load: Load, plan: Plan): Promise<Omit<LoadSample, keyof Latencies>> {
  await receiver.ask("begin", { ...load } satisfies PhaseOptions);
  const options: FloodOptions = {
    ...load,
    subscribers: plan.subscribers,
    leadInMs: plan.leadInMs,
    ms: plan.floodMs,
    burstsAtLeast: plan.burstsAtLeast,
  };
  const { published, counted, cpuMicros, beganAt } = await server.ask<Flooded>("flood", options);
  const report = await receiver.ask<PhaseReport>("end");
  reconcile(report, published, plan.subscribers);
  const deliveries = counted * plan.subscribers;
  return {
    ...load,
    deliveries,
    cpuMicrosPerDelivery: cpuMicros / deliveries,
    deliveriesPerSecond: deliveries / ((report.lastAt - beganAt) / 1_000),
    verified: report.verified,
    receiverUtilisation: report.utilisation,
    void: report.utilisation > RECEIVER_LIMIT,
  };
}
