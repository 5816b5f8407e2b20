/** Which part of a list is wanted. */
export interface Page {
  /** What the page before gave as `next`; undefined: the list's beginning. */
  after: string | undefined;
  /** Names at most. */
  limit: number;
}

/** A part of a list, in an order that stays the same while nothing changes. */
export interface NamesPage {
  names: string[];
  /** Where the next page begins; undefined: this was the last one. Only the store that gave it knows what it means. */
  next: string | undefined;
}
