import type { OpenedEntry } from "../delivery/opened_entry.ts";
import type { OutboxRow } from "../ports/outbox.ts";
import type { Topic } from "../protocol/names.ts";
import type { Decision } from "./decision.ts";

/** Decisions of one topic that say "push", as they leave. */
export interface Plan {
  readonly topic: Topic;
  /** Never part of a push that stands for several: silent ones, and of each collapse key the newest. */
  readonly alone: readonly Decision[];
  /** Those that leave at once, and those that leave together at their time: they don't mix. */
  readonly classes: readonly PushClass[];
}

/** Decisions that may leave as one push. */
export class PushClass {
  readonly coalesced: boolean;
  readonly decisions: readonly Decision[];
  /** Of the decisions from each index on: the latest expiry, and whether one is urgent. */
  #rests: readonly Rest[] | undefined;

  constructor(coalesced: boolean, decisions: readonly Decision[]) {
    this.coalesced = coalesced;
    this.decisions = decisions;
  }

  restFrom(index: number): Rest {
    return (this.#rests ??= restsOf(this.decisions))[index]!;
  }
}

/** What holds for decisions from one on. */
export interface Rest {
  readonly expiresAt: number;
  readonly isHigh: boolean;
}

/** Plans of decisions. The same ones are made rows of for each member of a topic. */
export class Plans {
  readonly #plans = new WeakMap<readonly Decision[], readonly Plan[]>();

  /** One for each topic. */
  of(decisions: readonly Decision[]): readonly Plan[] {
    let plans = this.#plans.get(decisions);
    if (plans === undefined) {
      const pushed = decisions.filter(({ route }) => route.push === "now" || route.push === "coalesced");
      plans = [...Map.groupBy(pushed, ({ entry }) => entry.topic)].map(([topic, ofTopic]) => planOf(topic, ofTopic));
      this.#plans.set(decisions, plans);
    }
    return plans;
  }
}

function planOf(topic: Topic, decisions: readonly Decision[]): Plan {
  const newest = new Map(decisions.map((decision) => [decision.entry.collapseKey, decision]));
  const alone = decisions.filter((decision) => {
    const { collapseKey, silent } = decision.entry;
    return collapseKey === undefined ? silent : newest.get(collapseKey) === decision;
  });
  const together = decisions.filter(({ entry }) => entry.collapseKey === undefined && !entry.silent);
  const classes = [false, true].map((coalesced) =>
    new PushClass(coalesced, together.filter(({ route }) => (route.push === "coalesced") === coalesced))
  );
  return { topic, alone, classes: classes.filter(({ decisions }) => decisions.length > 0) };
}

function restsOf(decisions: readonly Decision[]): Rest[] {
  const rests: Rest[] = [];
  let rest: Rest = { expiresAt: 0, isHigh: false };
  for (const { entry: { expiresAt, urgency } } of decisions.toReversed()) {
    rest = { expiresAt: Math.max(rest.expiresAt, expiresAt), isHigh: rest.isHigh || urgency === "high" };
    rests.push(rest);
  }
  return rests.reverse();
}

/** Whether a row that stands for several stands for this entry too: it was decided once already. */
export function isPartOf({ position: { epoch, offset }, urgency }: OpenedEntry, row: OutboxRow): boolean {
  const { after, coalesced, position } = row;
  const isLow = urgency === "low" || urgency === "very-low";
  return after !== undefined && coalesced === isLow && position.epoch === epoch && after < offset && offset <= position.offset;
}
