/** How many may leave, beside as many as are there, before the Map is made anew. */
const MOST_LEFT = 64;

/**
 * A Map of what stays for a moment, where much passes through.
 *
 * V8's Map moves into a new table when many entries have left, and the former table keeps its entries and points to the new one.
 * Once one of these tables is old, all that follow it, and whatever passed through them, stay until the next collection of the
 * whole heap, which is far more than the Map ever holds. So it is made anew in time.
 */
export class PassingMap<Key, Value> {
  #entries = new Map<Key, Value>();
  #left = 0;

  get size(): number {
    return this.#entries.size;
  }

  get(key: Key): Value | undefined {
    return this.#entries.get(key);
  }

  set(key: Key, value: Value): void {
    this.#entries.set(key, value);
  }

  delete(key: Key): void {
    if (!this.#entries.delete(key) || ++this.#left < this.#entries.size + MOST_LEFT) return;
    this.#entries = new Map(this.#entries);
    this.#left = 0;
  }

  /** As they are now. */
  keys(): Key[] {
    return [...this.#entries.keys()];
  }

  /** As they are now. */
  values(): Value[] {
    return [...this.#entries.values()];
  }
}
