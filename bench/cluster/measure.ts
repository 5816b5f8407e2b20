import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Child } from "../fan_out/child.ts";
import { now } from "../fan_out/clock.ts";
import type { PhaseOptions } from "../fan_out/phase.ts";
import type { Load } from "../fan_out/plan.ts";
import type { PhaseReport } from "../fan_out/receiver.ts";
import { type Broker, startBroker } from "./broker.ts";
import type { FloodOptions, SteadyOptions } from "./node_process.ts";
import type { PeerName, Plan } from "./plan.ts";

/** A receiver that used more of a core than this may be what was measured. */
const RECEIVER_LIMIT = 0.9;
/** Bytes of payload per subscriber that may be under way: less than the kernel takes, so that no peer queues in its own memory. */
const WINDOW_BYTES = 64 * 1024;
const WINDOW_MESSAGES = 256;
/** How often a publisher looks whether there is room: while it waits for its only burst it must not cost what it measures. */
const LOOK_MS = { paced: 5, free: 1 };
/** One load in one round. */
export interface LoadSample extends Load {
  deliveries: number;
  /** CPU time of all node processes, one burst under way at a time: so that nobody merges more than that. */
  cpuMicrosPerDelivery: number;
  /** CPU time of the broker, in the same part. */
  brokerMicrosPerDelivery: number;
  /** The same as fast as it goes. */
  freeCpuMicrosPerDelivery: number;
  freeBrokerMicrosPerDelivery: number;
  deliveriesPerSecond: number;
  /** At a fixed rate. */
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
  /** Of one core, at full speed. */
  receiverUtilisation: number;
  /** The receiver was the bottleneck: the figures at full speed say nothing. */
  void: boolean;
}

/** The processes of one contender, all fresh. */
interface Group {
  /** Where messages are published; the first node. */
  publisher: Child;
  nodes: Child[];
  broker: Broker | undefined;
  receiver: Child;
}

/** Runs one contender through all loads: two nodes (one, if it is meant to be alone), a broker between them, and a receiver. */
export async function measureLoads(peer: PeerName, plan: Plan, folder: string): Promise<LoadSample[]> {
  const tally = join(folder, "tally");
  const broker = await startBroker(peer);
  const receiver = startProcess("the receiver", "receiver.ts", peer, tally);
  const count = peer === "peyk-single" || peer === "nats-bare" ? 1 : 2;
  const nodes = Array.from(
    { length: count },
    (_, nth) => startProcess(`${peer}, node ${nth + 1}`, "node_process.ts", peer, broker?.url ?? "", tally),
  );
  const processes = [...nodes, receiver];
  try {
    return await runLoads({ publisher: nodes[0]!, nodes, broker, receiver }, peer, plan);
  } catch (error) {
    // When one of them fails the others soon do too: all are heard, for the cause may be in any.
    await sleep(500);
    throw new Error([peer, String(error), ...processes.map(({ complaint }) => complaint)].join("\n"), { cause: error });
  } finally {
    await Promise.all(processes.map((process) => process.stop()));
    await broker?.close();
  }
}

export function startProcess(name: string, file: string, ...args: string[]): Child {
  const flags = ["--conditions=peyk-source", "--disable-warning=ExperimentalWarning"];
  return new Child(name, process.execPath, [...flags, fileURLToPath(new URL(file, import.meta.url)), ...args]);
}

async function runLoads(group: Group, peer: PeerName, plan: Plan): Promise<LoadSample[]> {
  const { broker, nodes, receiver } = group;
  // Subscribers are connected to the last node; without one, to the broker.
  const serving = nodes.at(-1)!;
  const port = peer === "nats-bare" ? broker!.port : await serving.ask<number>("port");
  await receiver.ask("open", { port, count: plan.subscribers });
  await serving.ask("admit", { from: 0, to: plan.subscribers });
  for (const burst of [1, 16]) {
    await flood(group, { payloadBytes: 64, burst }, { ...plan, leadInMs: 0 }, "free", plan.warmUpMs / 2);
  }
  const samples: LoadSample[] = [];
  for (const load of plan.loads) {
    const paced = await flood(group, load, plan, "paced", plan.pacedMs);
    const free = await flood(group, load, plan, "free", plan.freeMs);
    samples.push({
      ...load,
      ...paced,
      freeCpuMicrosPerDelivery: free.cpuMicrosPerDelivery,
      freeBrokerMicrosPerDelivery: free.brokerMicrosPerDelivery,
      deliveriesPerSecond: free.deliveriesPerSecond,
      receiverUtilisation: free.receiverUtilisation,
      void: free.receiverUtilisation > RECEIVER_LIMIT,
      ...await steady(group, load, plan),
    });
  }
  return samples;
}

interface Flooded {
  deliveries: number;
  cpuMicrosPerDelivery: number;
  brokerMicrosPerDelivery: number;
  deliveriesPerSecond: number;
  receiverUtilisation: number;
}

/** First a lead-in. CPU time is read in all processes when it has arrived, and again when everything has. */
async function flood(group: Group, load: Load, plan: Plan, pace: "paced" | "free", ms: number): Promise<Flooded> {
  const { publisher, receiver } = group;
  const { subscribers, leadInMs } = plan;
  const window = pace === "paced" ? load.burst : Math.min(WINDOW_MESSAGES, WINDOW_BYTES / load.payloadBytes);
  const options = { ...load, subscribers, window, lookMs: LOOK_MS[pace], burstsAtLeast: plan.burstsAtLeast };
  await receiver.ask("begin", { ...load } satisfies PhaseOptions);
  const leadIn = { ...options, from: 0, ms: leadInMs } satisfies FloodOptions;
  const from = leadInMs === 0 ? 0 : await publisher.ask<number>("flood", leadIn);
  const before = await cpuOf(group);
  const beganAt = now();
  const published = await publisher.ask<number>("flood", { ...options, from, ms } satisfies FloodOptions);
  const after = await cpuOf(group);
  const report = await receiver.ask<PhaseReport>("end");
  reconcile(report, published, plan);
  const deliveries = (published - from) * subscribers;
  return {
    deliveries,
    cpuMicrosPerDelivery: (after.nodes - before.nodes) / deliveries,
    brokerMicrosPerDelivery: (after.broker - before.broker) / deliveries,
    deliveriesPerSecond: deliveries / ((report.lastAt - beganAt) / 1_000),
    receiverUtilisation: report.utilisation,
  };
}

async function cpuOf({ nodes, broker }: Group): Promise<{ nodes: number; broker: number }> {
  const each = await Promise.all(nodes.map((node) => node.ask<number>("cpuMicros")));
  return { nodes: each.reduce((sum, micros) => sum + micros, 0), broker: broker?.cpuMicros() ?? 0 };
}

/** Published at a fixed rate: how long after the intended moment does a message come in? */
async function steady(
  { publisher, receiver }: Group,
  load: Load,
  plan: Plan,
): Promise<Pick<LoadSample, "p50Ms" | "p99Ms" | "maxMs">> {
  const intervalMs = load.burst * 1_000 / plan.steadyRate;
  const timing = { beginAt: now() + 50, intervalMs, bursts: Math.ceil(plan.steadyMs / intervalMs) };
  await receiver.ask("begin", { ...load, steady: timing } satisfies PhaseOptions);
  const options: SteadyOptions = { ...load, ...timing, subscribers: plan.subscribers };
  const published = await publisher.ask<number>("steady", options);
  const { p50Ms, p99Ms, maxMs, ...report } = await receiver.ask<PhaseReport>("end");
  reconcile(report, published, plan);
  return { p50Ms, p99Ms, maxMs };
}

/** Every subscriber got every message, no more and no less. */
function reconcile(
  { deliveries, fewest, most }: Pick<PhaseReport, "deliveries" | "fewest" | "most">,
  published: number,
  { subscribers }: Plan,
): void {
  if (deliveries === published * subscribers && fewest === published && most === published) return;
  throw new Error(
    `${published} messages to ${subscribers} subscribers make ${published * subscribers} deliveries, ` +
      `${deliveries} came in: between ${fewest} and ${most} each`,
  );
}
