import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Child, startOnNode } from "../fan_out/child.ts";
import { now } from "../fan_out/clock.ts";
import type { PhaseOptions } from "../fan_out/phase.ts";
import type { Load } from "../fan_out/plan.ts";
import { windowOf } from "../fan_out/publishing.ts";
import type { PhaseReport } from "../fan_out/receiver.ts";
import { type Latencies, measureSteady, RECEIVER_LIMIT, reconcile } from "../fan_out/verified.ts";
import { type Broker, startBroker } from "./broker.ts";
import type { FloodOptions } from "./node_process.ts";
import type { PeerName, Plan } from "./plan.ts";

/** How often a publisher looks whether there is room: while it waits for its only burst it must not cost what it measures. */
const LOOK_MS = { paced: 5, free: 1 };

/** One load in one round. */
export interface LoadSample extends Load, Latencies {
  deliveries: number;
  /** CPU time of all node processes, one burst under way at a time: so that nobody merges more than that. */
  cpuMicrosPerDelivery: number;
  /** CPU time of the broker, in the same part. */
  brokerMicrosPerDelivery: number;
  /** The same as fast as it goes. */
  freeCpuMicrosPerDelivery: number;
  freeBrokerMicrosPerDelivery: number;
  deliveriesPerSecond: number;
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
  const receiver = startProcess("the receiver", "receiver_process.ts", peer, tally);
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
  return startOnNode(name, new URL(file, import.meta.url), ...args);
}

async function runLoads(group: Group, peer: PeerName, plan: Plan): Promise<LoadSample[]> {
  const { broker, nodes, receiver } = group;
  // Subscribers are connected to the last node; without one, to the broker.
  const serving = nodes.at(-1)!;
  const port = peer === "nats-bare" ? broker!.port : await serving.ask<number>("port");
  await receiver.ask("open", { port, to: plan.subscribers });
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
      ...await measureSteady(group.publisher, receiver, load, plan),
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
  const window = pace === "paced" ? load.burst : windowOf(load.payloadBytes);
  const options = { ...load, subscribers, window, lookMs: LOOK_MS[pace], burstsAtLeast: plan.burstsAtLeast };
  await receiver.ask("begin", { ...load } satisfies PhaseOptions);
  const leadIn = { ...options, from: 0, ms: leadInMs } satisfies FloodOptions;
  const from = leadInMs === 0 ? 0 : await publisher.ask<number>("flood", leadIn);
  const before = await cpuOf(group);
  const beganAt = now();
  const published = await publisher.ask<number>("flood", { ...options, from, ms } satisfies FloodOptions);
  const after = await cpuOf(group);
  const report = await receiver.ask<PhaseReport>("end");
  reconcile(report, published, subscribers);
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
