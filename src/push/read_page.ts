import { type OpenedEntry, openEntry, withoutBytes } from "../delivery/opened_entry.ts";
import type { History } from "../ports/transport.ts";
import type { Position } from "../protocol/message.ts";
import type { Topic } from "../protocol/names.ts";

/** A part of a log, as far as it takes to decide about its entries: they are without their bytes. */
export interface DecisionPage {
  /** Unexpired ones in (after, through], in order. */
  readonly entries: readonly OpenedEntry[];
  /** How far this page reaches. Equals head.offset when there is no more to read. */
  readonly through: number;
  readonly head: Position;
}

/** Reads a page of a log; a sweep shares what it read among many devices. */
export type ReadPage = (topic: Topic, after: number) => Promise<DecisionPage>;

/** Entries in a page at most. */
const PAGE = 500;
/** It is put together of pieces of so many bytes. */
const PIECE_BYTES = 256 * 1024;
/** Pages that a sweep remembers: a user's devices stand at few different places. */
const REMEMBERED = 4;

/** Without a history every log is empty. */
export function readPageOf(history: History | undefined): ReadPage {
  return async (topic, after) => {
    if (history === undefined) return { entries: [], through: 0, head: { epoch: 0, offset: 0 } };
    let piece = await history.read(topic, after, PAGE, PIECE_BYTES);
    let { head, through } = piece;
    const entries = piece.entries.map(decidable);
    for (let at = after; entries.length < PAGE && through > at && through < head.offset;) {
      at = through;
      piece = await history.read(topic, at, PAGE - entries.length, PIECE_BYTES);
      // Another life of the log is another page.
      if (piece.head.epoch !== head.epoch) break;
      ({ head, through } = piece);
      for (const raw of piece.entries) entries.push(decidable(raw));
    }
    return { entries, through, head };
  };
}

function decidable(raw: Parameters<typeof openEntry>[0]): OpenedEntry {
  return withoutBytes(openEntry(raw));
}

/** The same, reading each of the last few pages once. */
export function remembering(read: ReadPage): ReadPage {
  const pages = new Map<string, Promise<DecisionPage>>();
  return (topic, after) => {
    const key = `${after} ${topic}`;
    let page = pages.get(key);
    if (page === undefined) {
      pages.set(key, page = read(topic, after));
      if (pages.size > REMEMBERED) pages.delete(pages.keys().next().value!);
    }
    return page;
  };
}
