import type { Load, PeerName, Plan, Runtime } from "./plan.ts";
import { figures, pairsOf, type Results, scenarioOf } from "./results.ts";
import { median } from "./statistics.ts";

/** What is aimed at: the server's CPU time per delivery, as a multiple of somebody else's in the same run. */
interface Target {
  burst: number;
  runtime: Runtime;
  against: PeerName;
  atMost: number;
}

const TARGETS: Target[] = [
  { burst: 1, runtime: "node", against: "bare", atMost: 1.2 },
  { burst: 1, runtime: "node", against: "ws", atMost: 1 },
  { burst: 1, runtime: "node", against: "socket.io", atMost: 0.7 },
  { burst: 16, runtime: "node", against: "ws", atMost: 1 / 8 },
  { burst: 16, runtime: "node", against: "socket.io", atMost: 1 / 12 },
  { burst: 16, runtime: "node", against: "ws-batched", atMost: 1.2 },
  { burst: 1, runtime: "deno", against: "peyk", atMost: 1.3 },
  { burst: 16, runtime: "deno", against: "peyk", atMost: 1.3 },
];

const MAX_RSS_KB = 12;

/** A line per target and payload, with the measured figure. A target whose parties did not run is left out. */
export function targetLines(all: readonly Results[], plan: Plan): string[] {
  const lines: string[] = [];
  for (const load of plan.loads) {
    for (const target of TARGETS.filter(({ burst }) => burst === load.burst)) {
      const ratio = median(cpuRatios(find(all, "peyk", target.runtime), find(all, target.against, "node"), load));
      if (ratio === undefined) continue;
      const what = target.runtime === "deno" ? "peyk on Deno / on Node" : `peyk / ${target.against}`;
      lines.push(
        line(`${scenarioOf(load)}: ${what}`, `${ratio.toFixed(3)}×`, `${target.atMost.toFixed(3)}×`, ratio <= target.atMost),
      );
    }
  }
  for (const runtime of ["node", "deno"] as const) {
    const rss = median(find(all, "peyk", runtime)?.rss ?? []);
    if (rss === undefined) continue;
    const what = `RSS per idle connection: peyk on ${runtime === "node" ? "Node" : "Deno"}`;
    lines.push(line(what, `${(rss / 1024).toFixed(1)} KB`, `${MAX_RSS_KB} KB`, rss <= MAX_RSS_KB * 1024));
  }
  return lines;
}

/** What Peyk adds to the latency of the plain `ws` loop, and how far apart two runs of the same peer are. */
export function noteLines(all: readonly Results[], plan: Plan): string[] {
  const lines: string[] = [];
  for (const load of plan.loads) {
    const [peyk, ws] = [find(all, "peyk", "node"), find(all, "ws", "node")]
      .map((results) => results && median(figures(results, load, "p50Ms")));
    if (peyk === undefined || ws === undefined) continue;
    lines.push(`${scenarioOf(load)}: peyk's p50 is ${peyk.toFixed(2)} ms, ${signed(peyk - ws)} ms against ws`);
  }
  const again = all.find(({ contender }) => contender.again);
  if (again === undefined) return lines;
  const { peer, runtime } = again.contender;
  for (const load of plan.loads) {
    const ratios = cpuRatios(again, find(all, peer, runtime), load);
    const middle = median(ratios);
    if (middle === undefined) continue;
    const [least, most] = [Math.min(...ratios), Math.max(...ratios)];
    lines.push(
      `${scenarioOf(load)}: noise, ${peer} again / ${peer}: ${middle.toFixed(3)}× (single rounds ${least.toFixed(2)} to ${
        most.toFixed(2)
      })`,
    );
  }
  return lines;
}

function find(all: readonly Results[], peer: PeerName, runtime: Runtime): Results | undefined {
  return all.find(({ contender }) => contender.peer === peer && contender.runtime === runtime && !contender.again);
}

/** Within each round: what disturbed a whole round cancels out. */
function cpuRatios(one: Results | undefined, other: Results | undefined, load: Load): number[] {
  return pairsOf(one, other, load)
    .filter(([mine, theirs]) => !mine.void && !theirs.void)
    .map(([mine, theirs]) => mine.cpuMicrosPerDelivery / theirs.cpuMicrosPerDelivery);
}

function line(what: string, measured: string, target: string, met: boolean): string {
  return `${met ? "met   " : "missed"}  ${what.padEnd(58)} ${measured.padStart(8)}  target ≤ ${target}`;
}

function signed(value: number): string {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
}
