/** So many ranges of what was handled are kept per user and topic; the lowest is forgotten then, and what it held may be pushed. */
const KEPT = 8;

/** What a user has handled in one topic, as far as it may be known. */
export class Ranges {
  /** By offset, apart from each other. */
  #ranges: { after: number; through: number }[] = [];
  /** What lies up to here may have been forgotten. */
  forgotten = 0;

  /** The entries in (after, through]. */
  add(after: number, through: number): void {
    if (through <= after) return;
    const apart = this.#ranges.filter((range) => range.through < after || range.after > through);
    for (const range of this.#ranges) {
      if (range.through < after || range.after > through) continue;
      after = Math.min(after, range.after);
      through = Math.max(through, range.through);
    }
    this.#ranges = [...apart, { after, through }].sort((a, b) => a.after - b.after);
    const lowest = this.#ranges[this.#ranges.length - KEPT - 1];
    if (lowest !== undefined) this.forgotten = Math.max(this.forgotten, lowest.through);
  }
}
