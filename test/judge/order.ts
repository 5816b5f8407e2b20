import { type Case, SLACK_MS } from "./case.ts";
import type { Interval } from "./pace.ts";
import type { Trouble } from "./trouble.ts";

/**
 * Pairs of messages of one target and topic that left in the wrong order though nothing kept the earlier one back.
 * What is tried again may be overtaken, a low urgency never keeps a higher one waiting, and what waits for its turn no high one.
 * @param paced when the target may be paced
 * @returns the one that left too late, and the one that overtook it
 */
export function isOutOfOrder(cases: readonly Case[], paced: readonly Interval[], trouble: Trouble): [late: Case, early: Case][] {
  const pairs: [Case, Case][] = [];
  const asked = cases.filter(({ requests }) => requests[0]?.joined === false);
  const byTopic = Map.groupBy(asked, ({ entry, isLow }) => `${entry.topic} ${entry.epoch} ${isLow}`);
  for (const group of byTopic.values()) {
    group.sort((a, b) => a.entry.offset - b.entry.offset);
    group.forEach((before, index) => {
      const left = before.requests[0]!.at;
      if (before.late === Infinity || before.want !== "yes") return;
      for (const after of group.slice(index + 1)) {
        const overtook = after.requests[0]!.at;
        if (overtook >= left || overtook < before.late + SLACK_MS) continue;
        const isHurried = after.entry.urgency === "high" && before.entry.urgency !== "high";
        if (isHurried && paced.some(({ begin, end }) => begin <= overtook && overtook <= end)) continue;
        if (trouble.free(before.late, trouble.ofUser(before.device.user)) > before.late) continue;
        pairs.push([before, after]);
        return;
      }
    });
  }
  return pairs;
}
