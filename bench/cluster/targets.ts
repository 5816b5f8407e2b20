import { pairsOf, scenarioOf } from "../fan_out/results.ts";
import { median } from "../fan_out/statistics.ts";
import type { DurableResults, PublisherName } from "./durable.ts";
import type { PeerName, Plan } from "./plan.ts";
import type { Measured, Results } from "./results.ts";

/** CPU time of all node processes per delivery, as a multiple of somebody else's in the same run. */
const FAN_OUT: { burst: number; against: PeerName; atMost: number }[] = [
  { burst: 16, against: "peyk-single", atMost: 1.25 },
  { burst: 16, against: "socket.io-redis", atMost: 1 / 8 },
];

/** Publishes a second through one server, as a share of somebody else's in the same run. */
const DURABLE: { publisher: PublisherName; against: PublisherName; atLeast: number } = {
  publisher: "peyk engine",
  against: "bare client",
  atLeast: 0.6,
};

/** A line per target, with the measured figure. A target whose parties did not run is left out. */
export function targetLines({ fanOut, durable }: Measured, plan: Plan): string[] {
  const lines: string[] = [];
  for (const load of plan.loads) {
    for (const { against, atMost } of FAN_OUT.filter(({ burst }) => burst === load.burst)) {
      const pairs = pairsOf(find(fanOut, "peyk-nats"), find(fanOut, against), load);
      const ratio = median(pairs.map(([mine, theirs]) => mine.cpuMicrosPerDelivery / theirs.cpuMicrosPerDelivery));
      if (ratio === undefined) continue;
      const what = `${scenarioOf(load)}: peyk-nats / ${against}`;
      lines.push(line(what, `${ratio.toFixed(3)}×`, `≤ ${atMost.toFixed(3)}×`, ratio <= atMost));
    }
  }
  for (const { scenario, replicas, share } of shares(durable, DURABLE.publisher, DURABLE.against)) {
    if (replicas !== 1) continue;
    const what = `${scenario}: ${DURABLE.publisher} / ${DURABLE.against}`;
    lines.push(line(what, percent(share), `≥ ${percent(DURABLE.atLeast)}`, share >= DURABLE.atLeast));
  }
  return lines;
}

/** How the adapter alone fares against a bare client for which the servers do the same work. */
export function noteLines({ durable }: Measured): string[] {
  return shares(durable, "peyk storage", "the same, tailed").map(({ scenario, share }) =>
    `${scenario}: peyk storage is at ${percent(share)} of a bare client with the same headers and a tail`
  );
}

/** One publisher's rate as a share of another's, for each way to publish. */
function shares(
  durable: readonly DurableResults[],
  publisher: PublisherName,
  against: PublisherName,
): { scenario: string; replicas: number; share: number }[] {
  return durable.filter((results) => results.publisher === publisher).map(({ scenario, replicas, samples }) => {
    const other = durable.find((results) => results.scenario === scenario && results.publisher === against)!;
    return { scenario, replicas, share: median(samples.map(({ perSecond }, nth) => perSecond / other.samples[nth]!.perSecond))! };
  });
}

function find(all: readonly Results[], peer: PeerName): Results | undefined {
  return all.find((results) => results.peer === peer);
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}

function line(what: string, measured: string, target: string, met: boolean): string {
  return `${met ? "met   " : "missed"}  ${what.padEnd(66)} ${measured.padStart(8)}  target ${target}`;
}
