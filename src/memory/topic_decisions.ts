import type { TopicDecision } from "../ports/outbox.ts";
import type { NamesPage, Page } from "../ports/page.ts";
import type { Random } from "../ports/random.ts";
import type { Topic } from "../protocol/names.ts";
import { byName, SortedList } from "./sorted_list.ts";

/** How far public topics are decided, as long as the process lives. */
export class TopicDecisions {
  readonly #random: Random;
  readonly #decisions = new Map<Topic, TopicDecision>();
  readonly #undecided = new SortedList<Topic>(byName);

  constructor(random: Random) {
    this.#random = random;
  }

  get(topic: Topic): TopicDecision | undefined {
    return this.#decisions.get(topic);
  }

  /** @returns the new version; undefined: another one is stored */
  put(decision: TopicDecision): number | undefined {
    const { topic, version: expected, decided, goal } = decision;
    const before = this.#decisions.get(topic);
    if ((before?.version ?? 0) !== expected) return undefined;
    const version = before === undefined ? 1 + Math.floor(this.#random.fraction() * 0xffff_ffff) : expected + 1;
    if (before !== undefined && before.goal > before.decided) this.#undecided.delete(topic);
    if (goal > decided) this.#undecided.add(topic);
    this.#decisions.set(topic, { ...decision, version });
    return version;
  }

  /** Unless something is open in it. */
  forget(topic: Topic): void {
    const decision = this.#decisions.get(topic);
    if (decision !== undefined && decision.goal <= decision.decided) this.#decisions.delete(topic);
  }

  undecided({ after, limit }: Page): NamesPage {
    const names: Topic[] = [];
    for (const topic of this.#undecided.after(after)) {
      if (names.length >= limit) break;
      names.push(topic);
    }
    return { names, next: names.length < limit ? undefined : names.at(-1) };
  }
}
