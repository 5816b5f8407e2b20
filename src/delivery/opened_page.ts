import { encodeMessageFrames } from "../protocol/codec.ts";
import type { Position } from "../protocol/message.ts";
import type { HistoryPage } from "../ports/transport.ts";
import { type OpenedEntry, openEntry } from "./opened_entry.ts";

/** A part of a log, with its entries opened. The same for all who read it: so are the frames that are made of it. */
export class OpenedPage {
  readonly after: number;
  readonly entries: readonly OpenedEntry[];
  readonly through: number;
  readonly expired: number;
  readonly head: Position;
  readonly floor: number;
  #frames: { readonly bytes: Uint8Array; readonly ends: readonly number[] } | undefined;
  /** The part of the frames that was asked for last: others who are as far get the same array. */
  #part: { readonly begin: number; readonly end: number; readonly bytes: Uint8Array } | undefined;

  constructor({ entries, expired, floor, head, through }: HistoryPage, after: number) {
    this.after = after;
    this.entries = entries.map(openEntry);
    this.through = through;
    this.expired = expired;
    this.head = head;
    this.floor = floor;
  }

  /** The frames of the entries from place `begin` to before `end`, back to back: an array of each entry's own costs more than what is in it. */
  frames(begin: number, end: number): Uint8Array {
    const { bytes, ends } = this.#frames ??= encodeMessageFrames(this.entries[0]!.topic, this.head.epoch, this.entries);
    if (begin === 0 && end === this.entries.length) return bytes;
    if (this.#part?.begin !== begin || this.#part.end !== end) {
      this.#part = { begin, end, bytes: bytes.subarray(begin === 0 ? 0 : ends[begin - 1], ends[end - 1]) };
    }
    return this.#part.bytes;
  }
}
