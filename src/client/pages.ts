import type { Cursor } from "../protocol/frames.ts";

/** Cursors in one frame, at most. */
const MAX_CURSORS = 100;
/** What a cursor takes beside its topic's bytes, at most: an array, the length of a text, two numbers. */
const CURSOR_BYTES = 22;

const encoder = new TextEncoder();

/** Takes the first of these cursors off, as many as fit into so many bytes; `least` of them however long they are. */
export function pageOf(cursors: Cursor[], bytes: number, least = 1): Cursor[] {
  let count = 0;
  for (const { topic } of cursors.slice(0, MAX_CURSORS)) {
    bytes -= CURSOR_BYTES + encoder.encode(topic).length;
    if (bytes < 0 && count >= least) break;
    count++;
  }
  return cursors.splice(0, count);
}
