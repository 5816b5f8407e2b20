import { type Broker, startNats } from "./broker.ts";
import { startProcess } from "./measure.ts";
import type { Plan } from "./plan.ts";
import type { Published, PublishingOptions } from "./publisher_process.ts";

/** Who publishes, each into logs of its own on the same servers. See `publisher_process.ts`. */
export const PUBLISHERS = [
  "peyk engine",
  "peyk storage",
  "bare client",
  "bare client, same headers",
  "the same, tailed",
] as const;
export type PublisherName = (typeof PUBLISHERS)[number];

/** Durable publishes of one publisher over the rounds. */
export interface DurableResults {
  scenario: string;
  publisher: PublisherName;
  replicas: 1 | 3;
  /** Publishes under way at a time. */
  window: number;
  samples: (Published & { brokerMicrosPerPublish: number })[];
}

/** How many steps `measureDurable` reports. */
export function durableSteps({ durableRounds, windows }: Plan): number {
  return 2 * durableRounds * windows.length * PUBLISHERS.length;
}

/** Publishes that wait for the stream's answer: through R1 on one server and through R3 on three, everybody in turn. */
export async function measureDurable(plan: Plan, step: (what: string) => void): Promise<DurableResults[]> {
  const all: DurableResults[] = [];
  for (const replicas of [1, 3] as const) {
    const results = plan.windows.flatMap((window) =>
      PUBLISHERS.map((publisher): DurableResults => ({
        scenario: `durable publishes, R${replicas}, ${window} under way`,
        ...{ publisher, replicas, window, samples: [] },
      }))
    );
    const broker = await startNats(replicas, true);
    try {
      for (let round = 0; round < plan.durableRounds; round++) {
        for (const { scenario, publisher, window, samples } of round % 2 === 0 ? results : results.toReversed()) {
          step(`${scenario}, round ${round + 1}, ${publisher}`);
          const name = `bench-${PUBLISHERS.indexOf(publisher)}-${window}-${round}`;
          samples.push(await publish(broker, { publisher, replicas, window, name }, plan));
        }
      }
    } finally {
      await broker.close();
    }
    all.push(...results);
  }
  return all;
}

async function publish(
  broker: Broker,
  options: PublishingOptions,
  { durableWarmUpMs, durableMs }: Plan,
): Promise<DurableResults["samples"][number]> {
  const child = startProcess(options.publisher, "publisher_process.ts", broker.url);
  try {
    await child.ask("begin", options);
    // Not counted: the just-in-time compilers settle, for everybody alike.
    await child.ask<Published>("measure", { ms: durableWarmUpMs });
    const before = broker.cpuMicros();
    const published = await child.ask<Published>("measure", { ms: durableMs });
    return { ...published, brokerMicrosPerPublish: (broker.cpuMicros() - before) / published.count };
  } catch (error) {
    throw new Error([String(error), child.complaint].join("\n"), { cause: error });
  } finally {
    await child.stop();
  }
}
