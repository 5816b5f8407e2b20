import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Child } from "./child.ts";
import { now } from "./clock.ts";
import type { PhaseOptions } from "./phase.ts";
import { type Contender, type Load, nameOf, type Plan } from "./plan.ts";
import type { PhaseReport } from "./receiver.ts";
import type { Flooded, FloodOptions, SteadyOptions } from "./server_process.ts";

/** A receiver that used more of a core than this may be what was measured. */
const RECEIVER_LIMIT = 0.9;

/** One load in one round. CPU and rate stem from the flood, latencies from the fixed rate. */
export interface LoadSample extends Load {
  deliveries: number;
  cpuMicrosPerDelivery: number;
  deliveriesPerSecond: number;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
  verified: number;
  receiverUtilisation: number;
  /** The receiver was the bottleneck: CPU and rate say nothing. */
  void: boolean;
}

/** Runs one contender through all loads, in a server and a receiver process of its own. */
export function measureLoads(contender: Contender, plan: Plan, folder: string): Promise<LoadSample[]> {
  return withPair(contender, folder, async (pair) => {
    await open(pair, 0, plan.subscribers);
    for (const burst of [1, 16]) {
      await flood(pair, { payloadBytes: 64, burst }, { ...plan, leadInMs: 0, floodMs: plan.warmUpMs / 2 });
    }
    const samples: LoadSample[] = [];
    for (const load of plan.loads) {
      const flooded = await flood(pair, load, plan);
      samples.push({ ...flooded, ...await steady(pair, load, plan) });
    }
    return samples;
  });
}

/** Resident memory of the server per idle connection, in processes that do nothing else. */
export function measureIdle(contender: Contender, { idle, idleBefore }: Plan, folder: string): Promise<number> {
  return withPair(contender, folder, async (pair) => {
    await open(pair, 0, idleBefore);
    const before = await pair.server.ask<number>("rss");
    await open(pair, idleBefore, idle);
    const after = await pair.server.ask<number>("rss");
    return (after - before) / (idle - idleBefore);
  });
}

/** A server and the receiver of its messages, both fresh. */
interface Pair {
  server: Child;
  receiver: Child;
}

async function withPair<Result>(contender: Contender, folder: string, task: (pair: Pair) => Promise<Result>): Promise<Result> {
  const tally = join(folder, "tally");
  const receiver = new Child("the receiver", process.execPath, [...NODE_FLAGS, here("receiver.ts"), contender.peer, tally]);
  const server = startServer(contender, tally);
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

const NODE_FLAGS = ["--expose-gc", "--conditions=peyk-source", "--disable-warning=ExperimentalWarning"];

function here(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url));
}

function startServer({ peer, runtime }: Contender, tally: string): Child {
  const args = [here("server_process.ts"), peer, tally];
  return runtime === "node"
    ? new Child(`${peer} on node`, process.execPath, [...NODE_FLAGS, ...args])
    : new Child(`${peer} on deno`, "deno", [
      "run",
      "--allow-all",
      "--quiet",
      "--v8-flags=--expose-gc",
      "--conditions=peyk-source",
      ...args,
    ]);
}

/** The server publishes as fast as it can: what does a delivery cost? */
async function flood({ server, receiver }: Pair, load: Load, plan: Plan): Promise<Omit<LoadSample, "p50Ms" | "p99Ms" | "maxMs">> {
  await receiver.ask("begin", { ...load } satisfies PhaseOptions);
  const options: FloodOptions = { ...load, subscribers: plan.subscribers, leadInMs: plan.leadInMs, ms: plan.floodMs };
  const { published, counted, cpuMicros, beganAt } = await server.ask<Flooded>("flood", options);
  const report = await receiver.ask<PhaseReport>("end");
  reconcile(report, published, plan);
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

/** The server publishes at a fixed rate: how long after the intended moment does a message come in? */
async function steady(
  { server, receiver }: Pair,
  load: Load,
  plan: Plan,
): Promise<Pick<LoadSample, "p50Ms" | "p99Ms" | "maxMs">> {
  const intervalMs = load.burst * 1_000 / plan.steadyRate;
  const timing = { beginAt: now() + 50, intervalMs, bursts: Math.ceil(plan.steadyMs / intervalMs) };
  await receiver.ask("begin", { ...load, steady: timing } satisfies PhaseOptions);
  const options: SteadyOptions = { ...load, ...timing, subscribers: plan.subscribers };
  const { published } = await server.ask<{ published: number }>("steady", options);
  const { p50Ms, p99Ms, maxMs, ...report } = await receiver.ask<PhaseReport>("end");
  reconcile(report, published, plan);
  return { p50Ms, p99Ms, maxMs };
}

/** Every subscriber got every message, no more and no less. */
function reconcile(report: Pick<PhaseReport, "deliveries" | "fewest" | "most">, published: number, { subscribers }: Plan): void {
  const { deliveries, fewest, most } = report;
  if (deliveries !== published * subscribers || fewest !== published || most !== published) {
    throw new Error(
      `${published} messages to ${subscribers} subscribers make ${published * subscribers} deliveries, ` +
        `${deliveries} came in: between ${fewest} and ${most} each`,
    );
  }
}
