import { isPublic } from "../protocol/names.ts";
import type { SessionEvent } from "../session/step.ts";
import type { OpenedEntry } from "./opened_entry.ts";
import { CHAIN_ROOM, type Sending } from "./unseen.ts";

/** The most bytes that one volley holds. It has no more entries than there is room for on a chain. */
const MAX_BYTES = 128 * 1024;

/** Entries of one topic that came in one tick and are the same thing to a session's machine: decided once, written as one. */
export class Volley {
  readonly event: SessionEvent;
  readonly sendings: readonly Sending[];
  /** The offset before the first one. */
  readonly previous: number;
  /** The last offset; 0: no log has them. */
  readonly last: number;
  /** Whether explanations name each device, as those of private messages do. */
  readonly listed: boolean;
  #bytes: Uint8Array | undefined;

  constructor(entries: readonly OpenedEntry[], at: number) {
    const first = entries[0]!;
    this.event = first.event;
    this.sendings = entries.map((entry) => ({ entry, at }));
    this.previous = first.previous;
    this.last = entries.at(-1)!.position.offset;
    this.listed = !isPublic(first.topic);
  }

  /** All frames, back to back: the same bytes for all receivers. */
  get bytes(): Uint8Array {
    if (this.#bytes !== undefined) return this.#bytes;
    const frames = this.sendings.map(({ entry }) => entry.frame);
    if (frames.length === 1) return this.#bytes = frames[0]!;
    const bytes = new Uint8Array(frames.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const frame of frames) {
      bytes.set(frame, at);
      at += frame.length;
    }
    return this.#bytes = bytes;
  }
}

/** What came in a tick, in order, in as few volleys as it takes. */
export function volleysOf(entries: readonly OpenedEntry[], at: number): Volley[] {
  const volleys: Volley[] = [];
  let begin = 0;
  let bytes = 0;
  entries.forEach((entry, index) => {
    bytes += entry.bytes.length;
    const next = entries[index + 1];
    if (next?.event === entry.event && index - begin < CHAIN_ROOM - 1 && bytes + next.bytes.length < MAX_BYTES) return;
    volleys.push(new Volley(entries.slice(begin, index + 1), at));
    begin = index + 1;
    bytes = 0;
  });
  return volleys;
}
