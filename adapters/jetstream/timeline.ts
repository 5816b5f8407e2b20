/** A name, and when it is its turn. */
export interface Timed {
  readonly at: number;
  readonly name: string;
}

/** Names in a part: as many as are moved when one is put between them. */
const PART = 512;

/** Names by time, those of one time by name. In parts, so that a change costs little however many there are. */
export class Timeline {
  /** None is empty. */
  readonly #parts: Timed[][] = [];

  add(at: number, name: string): void {
    const time = { at, name };
    const which = Math.min(firstFrom(this.#parts, (part) => !isBefore(part.at(-1)!, time)), Math.max(this.#parts.length - 1, 0));
    const part = this.#parts[which];
    if (part === undefined) return void this.#parts.push([time]);
    part.splice(firstFrom(part, (other) => !isBefore(other, time)), 0, time);
    if (part.length > PART) this.#parts.splice(which + 1, 0, part.splice(PART / 2));
  }

  delete(at: number, name: string): void {
    const time = { at, name };
    const which = firstFrom(this.#parts, (part) => !isBefore(part.at(-1)!, time));
    const part = this.#parts[which];
    const index = part === undefined ? 0 : firstFrom(part, (other) => !isBefore(other, time));
    if (part?.[index]?.name !== name) return;
    part.splice(index, 1);
    if (part.length === 0) this.#parts.splice(which, 1);
  }

  get isEmpty(): boolean {
    return this.#parts.length === 0;
  }

  /** How many there are up to a time. Costs little, however many that are. */
  count(through: number): number {
    const parts = firstFrom(this.#parts, (part) => part.at(-1)!.at > through);
    let count = 0;
    for (let index = 0; index < parts; index++) count += this.#parts[index]!.length;
    const last = this.#parts[parts];
    return last === undefined ? count : count + firstFrom(last, ({ at }) => at > through);
  }

  *all(): Generator<Timed, undefined> {
    for (const part of this.#parts) yield* part;
  }
}

/** Timelines by key. */
export class Timelines {
  readonly #timelines = new Map<string, Timeline>();

  add(key: string, at: number, name: string): void {
    let timeline = this.#timelines.get(key);
    if (timeline === undefined) this.#timelines.set(key, timeline = new Timeline());
    timeline.add(at, name);
  }

  delete(key: string, at: number, name: string): void {
    const timeline = this.#timelines.get(key);
    timeline?.delete(at, name);
    if (timeline?.isEmpty) this.#timelines.delete(key);
  }

  get(key: string): Timeline | undefined {
    return this.#timelines.get(key);
  }

  /** What all of them hold, as one. */
  *all(): Generator<Timed, undefined> {
    const lines = [...this.#timelines.values()].map((timeline) => timeline.all());
    const heads = lines.map((line) => line.next().value);
    for (;;) {
      let first: number | undefined;
      for (const [index, head] of heads.entries()) {
        if (head !== undefined && (first === undefined || isBefore(head, heads[first]!))) first = index;
      }
      if (first === undefined) return;
      yield heads[first]!;
      heads[first] = lines[first]!.next().value;
    }
  }
}

function isBefore(one: Timed, other: Timed): boolean {
  return one.at < other.at || (one.at === other.at && one.name < other.name);
}

/** The index of the first item that is meant; those before it are not, all after it are. */
function firstFrom<Item>(items: readonly Item[], isMeant: (item: Item) => boolean): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isMeant(items[middle]!)) high = middle;
    else low = middle + 1;
  }
  return low;
}
