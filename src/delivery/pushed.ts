import type { Topic } from "../protocol/names.ts";

/** The push of an entry: waits to be written down; so too, and the client has it meanwhile; is written down. */
export type PushProgress = "waits" | "waits, seen" | "written";

/** Entries that are remembered of one session, a few times what may be unseen. Of more those that came first are decided again. */
const MOST = 8_192;

/** What is pushed of what a session was sent, or is to be sent: positions, never the entries. */
export class Pushed {
  readonly #topics = new Map<Topic, Map<number, PushProgress>>();
  #size = 0;

  get isEmpty(): boolean {
    return this.#size === 0;
  }

  get(topic: Topic, offset: number): PushProgress | undefined {
    return this.#topics.get(topic)?.get(offset);
  }

  /** Those of one topic by offset, in no order. */
  of(topic: Topic): Iterable<readonly [offset: number, PushProgress]> {
    return this.#topics.get(topic) ?? [];
  }

  set(topic: Topic, offset: number, progress: PushProgress): void {
    let offsets = this.#topics.get(topic);
    if (offsets === undefined) this.#topics.set(topic, offsets = new Map());
    if (!offsets.has(offset)) this.#size++;
    offsets.set(offset, progress);
    if (this.#size > MOST) this.delete(topic, offsets.keys().next().value!);
  }

  /** The client has the entry: what is not written down yet stays until it is. */
  seen(topic: Topic, offset: number): void {
    if (this.get(topic, offset) === "waits") this.set(topic, offset, "waits, seen");
    else this.delete(topic, offset);
  }

  /** The push is written down: of what the client has meanwhile nothing more need be known. */
  written(topic: Topic, offset: number): void {
    if (this.get(topic, offset) === "waits") this.set(topic, offset, "written");
    else this.delete(topic, offset);
  }

  delete(topic: Topic, offset: number): void {
    const offsets = this.#topics.get(topic);
    if (offsets?.delete(offset) !== true) return;
    this.#size--;
    if (offsets.size === 0) this.#topics.delete(topic);
  }

  /** Positions of the topic mean something else from here on. */
  forget(topic: Topic): void {
    this.#size -= this.#topics.get(topic)?.size ?? 0;
    this.#topics.delete(topic);
  }
}
