import { layOut, middle, spread, whole } from "../fan_out/columns.ts";
import { median } from "../fan_out/statistics.ts";
import { type Cost, PEER, type Result, type Service, SERVICES } from "./plan.ts";

/** Something else that was measured. */
export interface Line {
  scenario: string;
  measured: string;
  value: string;
  target?: string;
}

const HEAD = ["", "CPU µs/push", "(spread)", "pushes/s", "of bare"];

/** What a push to a service costs each contender. */
export function table(service: Service, results: readonly Result[]): string {
  const mine = results.filter(({ entry }) => entry.service === service);
  return `${service}\n${
    layOut([
      HEAD,
      ...mine.map((result) => {
        const { contender, runtime } = result.entry;
        const cpu = of(result, "cpuUs");
        const bare = find(results, service, "bare", runtime);
        const ratio = contender === "bare" || bare === undefined ? "" : median(ratios(result, bare, "cpuUs"))!.toFixed(2);
        return [`${contender} on ${runtime}`, middle(cpu, 1), spread(cpu, 1), whole(median(of(result, "perSecond"))), ratio];
      }),
    ])
  }`;
}

export function linesOfEngine(lines: readonly Line[]): string {
  return lines.length === 0 ? "" : layOut([
    ["", "", "", "target"],
    ...lines.map(({ measured, scenario, target = "", value }) => [scenario, measured, value, target]),
  ]);
}

/** Each target of the push engine with what was measured. */
export function targetLines(results: readonly Result[]): string[] {
  return SERVICES.flatMap((service) => {
    const [peyk, bare, peer] = ["peyk", "bare", PEER[service]].map((contender) => find(results, service, contender, "node"));
    if (peyk === undefined || bare === undefined || peer === undefined) return [];
    const over = median(peyk.costs.map(({ cpuUs }, round) => cpuUs - bare.costs[round]!.cpuUs))!;
    const rate = median(ratios(peyk, peer, "perSecond"))!;
    const cpu = median(ratios(peyk, peer, "cpuUs"))!;
    const againstPeer = `${service}: ${cpu.toFixed(2)} of ${PEER[service]}'s CPU a push, ${rate.toFixed(1)} times its rate`;
    if (service === "web-push") return [`${againstPeer} (target: 2 times the rate)`];
    const ratio = median(ratios(peyk, bare, "cpuUs"))!;
    return [
      `${service}: ${ratio.toFixed(2)} of bare's CPU a push, ${over.toFixed(1)} µs more (target: 1.3, 15 µs)`,
      `${againstPeer} (target: better)`,
    ];
  });
}

export function find(results: readonly Result[], service: Service, contender: string, runtime: string): Result | undefined {
  return results.find(({ entry }) => entry.service === service && entry.contender === contender && entry.runtime === runtime);
}

export function of({ costs }: Result, figure: keyof Cost): number[] {
  return costs.map((cost) => cost[figure]);
}

/** Within each round, so that what slows a whole round down cancels out. */
function ratios(one: Result, other: Result, figure: keyof Cost): number[] {
  return one.costs.map((cost, round) => cost[figure] / other.costs[round]![figure]);
}
