import type { Child } from "./child.ts";
import { now } from "./clock.ts";
import type { PhaseOptions } from "./phase.ts";
import type { FanOutPlan, Load } from "./plan.ts";
import type { SteadyOptions } from "./publishing.ts";
import type { PhaseReport } from "./receiver.ts";

/** A receiver that used more of a core than this may be what was measured. */
export const RECEIVER_LIMIT = 0.9;

/** From the intended sending. */
export interface Latencies {
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
}

/** Published at a fixed rate: how long after the intended moment does a message come in? */
export async function measureSteady(
  publisher: Child,
  receiver: Child,
  load: Load,
  { steadyRate, steadyMs, subscribers }: FanOutPlan,
): Promise<Latencies> {
  const intervalMs = load.burst * 1_000 / steadyRate;
  const timing = { beginAt: now() + 50, intervalMs, bursts: Math.ceil(steadyMs / intervalMs) };
  await receiver.ask("begin", { ...load, steady: timing } satisfies PhaseOptions);
  const published = await publisher.ask<number>("steady", { ...load, ...timing, subscribers } satisfies SteadyOptions);
  const { p50Ms, p99Ms, maxMs, ...report } = await receiver.ask<PhaseReport>("end");
  reconcile(report, published, subscribers);
  return { p50Ms, p99Ms, maxMs };
}

/** Every subscriber got every message, no more and no less. */
export function reconcile(
  { deliveries, fewest, most }: Pick<PhaseReport, "deliveries" | "fewest" | "most">,
  published: number,
  subscribers: number,
): void {
  if (deliveries === published * subscribers && fewest === published && most === published) return;
  throw new Error(
    `${published} messages to ${subscribers} subscribers make ${published * subscribers} deliveries, ` +
      `${deliveries} came in: between ${fewest} and ${most} each`,
  );
}
