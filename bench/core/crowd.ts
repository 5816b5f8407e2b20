import type { PushNotification } from "../../mod.ts";
import type { Person } from "./people.ts";

export const CHANNEL = "news";
const PREFIX = "member ";

/** Members of a channel who are all away, and what has been pushed to each. */
export class Crowd {
  readonly #newest: Float64Array;
  readonly #stoodFor: Uint32Array;
  /** The members before this one have all that there is. */
  #done = 0;
  /** When the first push left. */
  firstAt: number | undefined;

  static person(index: number): Person {
    return { userId: PREFIX + String(index).padStart(7, "0"), channels: [CHANNEL] };
  }

  constructor(members: number) {
    this.#newest = new Float64Array(members);
    this.#stoodFor = new Uint32Array(members);
  }

  pushed({ position, userId, waiting }: PushNotification): void {
    this.firstAt ??= performance.now();
    const member = Number(userId.slice(PREFIX.length));
    this.#newest[member] = Math.max(this.#newest[member]!, position.offset);
    this.#stoodFor[member]! += waiting;
  }

  /** Whether each was pushed something that stands for the last of so many messages: it is the one, or all together are as many. */
  allHave(last: number, messages: number): boolean {
    while (this.#done < this.#newest.length && this.#has(this.#done, last, messages)) this.#done++;
    return this.#done === this.#newest.length;
  }

  /** How many of a hundred were. */
  percent(last: number, messages: number): number {
    const { length } = this.#newest.filter((_, member) => this.#has(member, last, messages));
    return length / this.#newest.length * 100;
  }

  #has(member: number, last: number, messages: number): boolean {
    return this.#newest[member]! >= last || this.#stoodFor[member]! >= messages;
  }
}
