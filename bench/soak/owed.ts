/** The messages that a device is to get, each once. Which is told first, that one was published or that it came, is all the same. */
export class Owed {
  readonly #published = new Set<string>();
  readonly #early = new Set<string>();

  published(id: string): void {
    if (!this.#early.delete(id)) this.#published.add(id);
  }

  came(id: string): void {
    if (!this.#published.delete(id)) this.#early.add(id);
  }

  /** They did not come. */
  get missing(): readonly string[] {
    return [...this.#published];
  }

  /** They came again, or were never published. */
  get surplus(): readonly string[] {
    return [...this.#early];
  }
}
