import type { StateStream } from "./state_stream.ts";

/** A part this large is worth a question of its own. */
const WORTH_A_PART = 16;
/** A look-up that is read whole, and is larger than this, is to be read in parts from then on. */
const TOO_LARGE_FOR_ONE = 1_024;
const MOST_PARTS_AT_ONCE = 16;
/** Look-ups whose size is remembered. */
const REMEMBERED = 10_000;

/** Lists who stands in a look-up, part by part: so a page costs what it holds, however many there are. */
export class LookUps {
  readonly #stream: StateStream;
  /** By how many hexadecimal digits a look-up is divided, as it was last time. */
  readonly #depths = new Map<string, number>();

  constructor(stream: StateStream) {
    this.#stream = stream;
  }

  /**
   * Who may be meant.
   * @param after what the page before gave as `next`
   */
  async page(prefix: string, after: string | undefined, limit: number): Promise<{ names: string[]; next: string | undefined }> {
    const names: string[] = [];
    let [depth, part, last] = after === undefined ? [await this.#depthOf(prefix), 0, ""] : parsePlace(after);
    if (depth === undefined) return { names, next: undefined };
    for (let atOnce = depth === 0 ? 1 : 2; part < 16 ** depth; atOnce = Math.min(atOnce * 2, MOST_PARTS_AT_ONCE)) {
      const parts = Array.from({ length: Math.min(atOnce, 16 ** depth - part) }, (_, index) => part + index);
      for (const subjects of await Promise.all(parts.map((each) => this.#part(prefix, depth!, each)))) {
        if (depth === 0 && subjects.length > TOO_LARGE_FOR_ONE) this.#depths.delete(prefix);
        const rest = subjects.filter((token) => token > last).sort();
        const taken = rest.slice(0, limit - names.length);
        names.push(...taken.map(nameOf));
        if (taken.length < rest.length) return { names, next: `${depth}.${part}.${taken.at(-1) ?? last}` };
        last = "";
        part++;
      }
    }
    return { names, next: undefined };
  }

  /** Everybody who may be meant, of a look-up that is always short. */
  async all(prefix: string): Promise<string[]> {
    return (await this.#part(prefix, 0, 0)).map(nameOf);
  }

  /** The tokens of the users in one of the 16^depth parts. */
  async #part(prefix: string, depth: number, part: number): Promise<string[]> {
    const digits = depth === 0 ? "" : `.${part.toString(16).padStart(depth, "0").split("").join(".")}`;
    const subjects = await this.#stream.subjects(`${prefix}${digits}.>`);
    return subjects.map((subject) => subject.slice(subject.lastIndexOf(".") + 1));
  }

  /** Into how many parts it is worth dividing; undefined: nobody is there. A look into one part tells how large all are. */
  async #depthOf(prefix: string): Promise<number | undefined> {
    const known = this.#depths.get(prefix);
    if (known !== undefined) return known;
    if (!await this.#stream.any(`${prefix}.>`)) return undefined;
    let depth = 3;
    while (depth > 0 && (await this.#part(prefix, depth, 0)).length < WORTH_A_PART) depth--;
    if (this.#depths.size >= REMEMBERED) this.#depths.clear();
    this.#depths.set(prefix, depth);
    return depth;
  }
}

function parsePlace(place: string): [depth: number, part: number, last: string] {
  const [depth, part, last] = place.split(".");
  return [Number(depth), Number(part), last!];
}

function nameOf(token: string): string {
  return decodeURIComponent(token.replaceAll("=", "%"));
}
