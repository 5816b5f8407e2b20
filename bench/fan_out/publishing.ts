import { setTimeout as sleep } from "node:timers/promises";
import { now } from "./clock.ts";
import { payloadText } from "./payload.ts";
import type { Peer } from "./peers/peer.ts";
import { TallyReader } from "./tally.ts";

/** Bytes of payload per subscriber that may be under way: less than the kernel takes, so that no peer queues in its own memory. */
const WINDOW_BYTES = 64 * 1024;
const WINDOW_MESSAGES = 256;
/** Without anything arriving for so long, something is lost, or the receiver gave up: its reconciliation says what. */
const GIVE_UP_MS = 10_000;

/** What is published to whom. */
export interface Bursts {
  payloadBytes: number;
  burst: number;
  subscribers: number;
}

export interface Flood extends Bursts {
  /** Messages of the phase that were published before. */
  from: number;
  /** Messages that may be under way to a subscriber. */
  window: number;
  /** How long to wait before looking again whether they have arrived. */
  lookMs: number;
}

export interface SteadyOptions extends Bursts {
  /** When the first burst is due. */
  beginAt: number;
  intervalMs: number;
  bursts: number;
}

/** Messages that may be under way when everybody goes as fast as they can. */
export function windowOf(payloadBytes: number): number {
  return Math.min(WINDOW_MESSAGES, WINDOW_BYTES / payloadBytes);
}

/** Publishes through a peer, with an eye on what has arrived. */
export class Publishing {
  readonly #peer: Peer;
  readonly #tally: TallyReader;

  constructor(peer: Peer, tallyPath: string) {
    this.#peer = peer;
    this.#tally = new TallyReader(tallyPath);
  }

  /**
   * One burst per turn of the event loop, as long as the subscribers keep up within the window, until it is enough. Ends when all
   * has arrived.
   * @returns messages of the phase so far
   */
  async flood({ from, window, lookMs, ...bursts }: Flood, isEnough: (published: number) => boolean): Promise<number> {
    const { payloadBytes, burst, subscribers } = bursts;
    let published = from;
    let taken = from;
    let waitingSince: number | undefined;
    await new Promise<void>((done) => {
      const tick = (): void => {
        if (isEnough(published)) return done();
        const full = published + burst - taken > window;
        if (full || published - taken > window / 2) taken = this.#tally.read().received / subscribers;
        if (published + burst - taken > window) {
          waitingSince ??= now();
          if (now() > waitingSince + GIVE_UP_MS) done();
          else setTimeout(tick, lookMs);
          return;
        }
        waitingSince = undefined;
        this.#peer.broadcast(burstOf(published, burst, payloadBytes));
        published += burst;
        setImmediate(tick);
      };
      tick();
    });
    await this.#settled(published * subscribers);
    return published;
  }

  /** A burst at each due time, however late the one before it was. @returns messages */
  async steady({ payloadBytes, burst, subscribers, beginAt, intervalMs, bursts }: SteadyOptions): Promise<number> {
    for (let index = 0; index < bursts; index++) {
      await until(beginAt + index * intervalMs);
      this.#peer.broadcast(burstOf(index * burst, burst, payloadBytes));
    }
    await this.#settled(bursts * burst * subscribers);
    return bursts * burst;
  }

  /** The subscribers have everything, and whoever owes an ack has sent it. */
  async #settled(deliveries: number): Promise<void> {
    const giveUpAt = now() + GIVE_UP_MS;
    for (;;) {
      const { received, unacked } = this.#tally.read();
      if (received >= deliveries && unacked === 0) return;
      if (now() > giveUpAt) return;
      await sleep(10);
    }
  }
}

function burstOf(first: number, burst: number, payloadBytes: number): string[] {
  return Array.from({ length: burst }, (_, index) => payloadText(first + index, payloadBytes));
}

/** Timers come up to a millisecond or two late: the rest is spent turning the event loop. */
async function until(due: number): Promise<void> {
  const ahead = due - now() - 2;
  if (ahead > 0) await sleep(ahead);
  do await new Promise(setImmediate); while (now() < due);
}
