import { startNats } from "./broker.ts";
import { startProcess } from "./measure.ts";
import type { Plan } from "./plan.ts";
import type { Idle } from "./tailing_process.ts";

/** What an idle node spends while others publish what nobody on it wants. */
export interface TailingResults {
  scenario: string;
  samples: { cpuMicrosPerEntry: number }[];
}

const IDLE: Record<Idle, string> = {
  storage: "tailing alone",
  engine: "tailing, and half of the sweep",
};

/** Two nodes on one server, and one of them publishes. */
export async function measureTailing(plan: Plan, step: (what: string) => void): Promise<TailingResults[]> {
  const results = Object.entries(IDLE).map(([idle, scenario]): TailingResults & { idle: Idle } => ({
    ...{ idle: idle as Idle, scenario, samples: [] },
  }));
  for (let round = 0; round < plan.durableRounds; round++) {
    for (const { idle, scenario, samples } of results) {
      step(`${scenario}, round ${round + 1}`);
      samples.push(await tail(idle, plan.tailed));
    }
  }
  return results;
}

export function tailingSteps({ durableRounds }: Plan): number {
  return durableRounds * Object.keys(IDLE).length;
}

async function tail(idle: Idle, count: number): Promise<{ cpuMicrosPerEntry: number }> {
  const broker = await startNats(1, true);
  const log = { name: "bench", replicas: 1 };
  const node = startProcess("the idle node", "tailing_process.ts", broker.url, idle);
  const publisher = startProcess("the publisher", "publisher_process.ts", broker.url);
  try {
    const before = await node.ask<number>("cpuMicros");
    await publisher.ask("exactly", { ...log, publisher: `peyk ${idle}`, window: 64, count });
    const after = await node.ask<number>("reached", { entries: count });
    return { cpuMicrosPerEntry: (after - before) / count };
  } catch (error) {
    throw new Error([String(error), node.complaint, publisher.complaint].join("\n"), { cause: error });
  } finally {
    await Promise.all([node.stop(), publisher.stop()]);
    await broker.close();
  }
}
