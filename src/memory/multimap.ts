/** Several names under one key; a key without names is gone. One alone, the usual case, needs no set. */
export class Multimap {
  readonly #names = new Map<string, string | Set<string>>();

  add(key: string, name: string): void {
    const names = this.#names.get(key);
    if (names === undefined) this.#names.set(key, name);
    else if (typeof names !== "string") names.add(name);
    else if (names !== name) this.#names.set(key, new Set([names, name]));
  }

  delete(key: string, name: string): void {
    const names = this.#names.get(key);
    if (names === undefined) return;
    if (typeof names === "string" ? names === name : names.delete(name) && names.size === 0) this.#names.delete(key);
  }

  get(key: string): readonly string[] {
    const names = this.#names.get(key);
    return names === undefined ? [] : typeof names === "string" ? [names] : [...names];
  }
}
