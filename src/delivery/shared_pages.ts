import type { Clock, Timer } from "../ports/clock.ts";
import type { History } from "../ports/transport.ts";
import type { Topic } from "../protocol/names.ts";
import type { CacheBytes } from "./cache_bytes.ts";
import { OpenedPage } from "./opened_page.ts";

/** The most that is read at a time: entries, and the bytes of all of them. */
const PAGE = 100;
const PAGE_BYTES = 128 * 1024;
/** How long what was read stands for the log, milliseconds: entries expire meanwhile. */
const FRESH_MS = 1_000;
/** The most that is kept for others who want it too, bytes: entries, and the frames that are made of them. */
const KEPT_BYTES = 8 * 1024 * 1024;
/** What an opened entry takes beside that, about. */
const OF_ENTRY_BYTES = 512;

interface Kept {
  readonly topic: Topic;
  readonly page: OpenedPage;
  readonly bytes: number;
  /** Monotonic milliseconds. */
  readonly readAt: number;
}

/** Reads logs in pages bounded by entries and by bytes; what many want at about the same time is read and opened once. */
export class SharedPages {
  readonly #history: History;
  readonly #clock: Clock;
  /** Being read, by topic and place. */
  readonly #asked = new Map<string, Promise<OpenedPage>>();
  /** By topic, each list in the order in which they were read. */
  readonly #kept = new Map<Topic, Kept[]>();
  /** All of them in that order. */
  #order: Kept[] = [];
  readonly #held: Pick<CacheBytes, "pages">;
  #timer: Timer | undefined;

  constructor(history: History, clock: Clock, held: Pick<CacheBytes, "pages">) {
    this.#held = held;
    this.#history = history;
    this.#clock = clock;
  }

  /**
   * A page in which the entries behind `after` stand; those up to `after` may stand there too.
   *
   * @param epoch the life of the log that `after` is of
   * @param shared whether others may want the same
   */
  read(topic: Topic, epoch: number, after: number, shared: boolean): OpenedPage | Promise<OpenedPage> {
    if (!shared) return this.#read(topic, after);
    const known = this.#find(topic, epoch, after);
    if (known !== undefined) return known;
    const key = `${after} ${topic}`;
    let asked = this.#asked.get(key);
    if (asked === undefined) {
      asked = this.#readAndKeep(topic, after).finally(() => this.#asked.delete(key));
      this.#asked.set(key, asked);
    }
    return asked;
  }

  /** Forgets everything. */
  close(): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#kept.clear();
    this.#order = [];
    this.#held.pages = 0;
  }

  #find(topic: Topic, epoch: number, after: number): OpenedPage | undefined {
    const freshAfter = this.#clock.elapsed() - FRESH_MS;
    return this.#kept.get(topic)?.find(({ page, readAt }) => {
      if (readAt <= freshAfter || page.head.epoch !== epoch || page.through <= after) return false;
      // How many expired is known of the whole page only.
      return page.after === after || (page.after < after && page.expired === 0);
    })?.page;
  }

  async #read(topic: Topic, after: number): Promise<OpenedPage> {
    return new OpenedPage(await this.#history.read(topic, after, PAGE, PAGE_BYTES), after);
  }

  async #readAndKeep(topic: Topic, after: number): Promise<OpenedPage> {
    const page = await this.#read(topic, after);
    if (page.entries.length > 0) this.#keep(topic, page);
    return page;
  }

  #keep(topic: Topic, page: OpenedPage): void {
    const bytes = page.entries.reduce((sum, { bytes }) => sum + 2 * bytes.length + OF_ENTRY_BYTES, 0);
    const kept: Kept = { topic, page, bytes, readAt: this.#clock.elapsed() };
    const ofTopic = this.#kept.get(topic);
    if (ofTopic === undefined) this.#kept.set(topic, [kept]);
    else ofTopic.push(kept);
    this.#order.push(kept);
    this.#held.pages += bytes;
    while (this.#held.pages > KEPT_BYTES) this.#forgetOldest();
    this.#forgetLater();
  }

  #forgetLater(): void {
    const [oldest] = this.#order;
    if (oldest === undefined || this.#timer !== undefined) return;
    this.#timer = this.#clock.setTimeout(() => {
      this.#timer = undefined;
      const freshAfter = this.#clock.elapsed() - FRESH_MS;
      while (this.#order[0] !== undefined && this.#order[0].readAt <= freshAfter) this.#forgetOldest();
      this.#forgetLater();
    }, Math.max(0, oldest.readAt + FRESH_MS - this.#clock.elapsed()));
  }

  #forgetOldest(): void {
    const { bytes, topic } = this.#order.shift()!;
    this.#held.pages -= bytes;
    const ofTopic = this.#kept.get(topic)!;
    ofTopic.shift();
    if (ofTopic.length === 0) this.#kept.delete(topic);
  }
}
