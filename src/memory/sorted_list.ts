/** How many items a chunk holds before it is halved: small enough that inserting moves little memory. */
const CHUNK = 512;

/** Items in order, each once, for paging. Adding, deleting and seeking cost about log n. */
export class SortedList<T> {
  readonly #compare: (a: T, b: T) => number;
  /** Sorted arrays, in order, none of them empty. */
  readonly #chunks: T[][] = [];

  constructor(compare: (a: T, b: T) => number) {
    this.#compare = compare;
  }

  get first(): T | undefined {
    return this.#chunks[0]?.[0];
  }

  add(item: T): void {
    const [chunkIndex, index] = this.#seek(item);
    const chunk = this.#chunks[chunkIndex];
    if (chunk === undefined) {
      // Beyond all others: onto the last chunk.
      const last = this.#chunks.at(-1);
      if (last === undefined) this.#chunks.push([item]);
      else {
        last.push(item);
        this.#halve(this.#chunks.length - 1);
      }
      return;
    }
    if (this.#compare(chunk[index]!, item) === 0) return;
    chunk.splice(index, 0, item);
    this.#halve(chunkIndex);
  }

  delete(item: T): void {
    const [chunkIndex, index] = this.#seek(item);
    const chunk = this.#chunks[chunkIndex];
    if (chunk === undefined || this.#compare(chunk[index]!, item) !== 0) return;
    chunk.splice(index, 1);
    if (chunk.length === 0) this.#chunks.splice(chunkIndex, 1);
  }

  /** Items that come after `item`, which need not be in the list; from the first on when it is undefined. */
  *after(item: T | undefined): Generator<T, void, undefined> {
    let [chunkIndex, index] = item === undefined ? [0, 0] : this.#seek(item);
    for (; chunkIndex < this.#chunks.length; chunkIndex++, index = 0) {
      const chunk = this.#chunks[chunkIndex]!;
      for (; index < chunk.length; index++) {
        const found = chunk[index]!;
        if (item === undefined || this.#compare(found, item) > 0) yield found;
      }
    }
  }

  get isEmpty(): boolean {
    return this.#chunks.length === 0;
  }

  /** Where the first item not below `item` is; a chunk index beyond the end when there is none. */
  #seek(item: T): [chunk: number, index: number] {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#compare(this.#chunks[middle]!.at(-1)!, item) < 0) low = middle + 1;
      else high = middle;
    }
    const chunk = this.#chunks[low];
    if (chunk === undefined) return [low, 0];
    let from = 0;
    let to = chunk.length;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (this.#compare(chunk[middle]!, item) < 0) from = middle + 1;
      else to = middle;
    }
    return [low, from];
  }

  #halve(chunkIndex: number): void {
    const chunk = this.#chunks[chunkIndex]!;
    if (chunk.length <= CHUNK) return;
    this.#chunks.splice(chunkIndex + 1, 0, chunk.splice(CHUNK / 2));
  }
}

/** The order of names in pages: by UTF-16 code units, the same on every machine. */
export function byName(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
