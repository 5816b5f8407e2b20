import { payloadText } from "./payload.ts";

/** One in so many messages is decoded and compared. */
const CLOSE_LOOK_EVERY = 1_000;

/** What the receiver is to expect. */
export interface PhaseOptions {
  payloadBytes: number;
  burst: number;
  /** Given in the part at a fixed rate: when each burst is meant to leave, and how many there are. */
  steady?: { beginAt: number; intervalMs: number; bursts: number };
}

/** What all subscribers together have received since it began. */
export class Phase {
  readonly payloadBytes: number;
  total = 0;
  verified = 0;
  firstAt = 0;
  lastAt = 0;
  /** Receiver's CPU time at the first message. */
  cpuAtFirst: NodeJS.CpuUsage | undefined;
  readonly #burst: number;
  readonly #steady: PhaseOptions["steady"];
  readonly #latencies: Float64Array;
  #untilCloseLook = CLOSE_LOOK_EVERY;

  constructor(options: PhaseOptions, subscribers: number) {
    this.payloadBytes = options.payloadBytes;
    this.#burst = options.burst;
    this.#steady = options.steady;
    this.#latencies = new Float64Array((options.steady?.bursts ?? 0) * options.burst * subscribers);
  }

  /** One subscriber's messages `from` to `to` (exclusive) came in, all at the same time. */
  received(from: number, to: number, at: number): void {
    if (this.cpuAtFirst === undefined) {
      this.cpuAtFirst = process.cpuUsage();
      this.firstAt = at;
    }
    if (this.#steady !== undefined) {
      for (let index = from; index < to; index++) {
        const due = this.#steady.beginAt + Math.floor(index / this.#burst) * this.#steady.intervalMs;
        this.#latencies[this.total + index - from] = at - due;
      }
    }
    this.total += to - from;
    this.lastAt = at;
  }

  looksClosely(messages: number): boolean {
    this.#untilCloseLook -= messages;
    if (this.#untilCloseLook > 0) return false;
    this.#untilCloseLook = CLOSE_LOOK_EVERY;
    return true;
  }

  /** Whether these are, byte for byte, the messages from the `first`-th on. */
  verify(texts: readonly string[], first: number, held: number): void {
    if (texts.length !== held) throw new Error(`${held} messages were counted where ${texts.length} are`);
    texts.forEach((text, index) => {
      if (text !== payloadText(first + index, this.payloadBytes)) {
        throw new Error(`message ${first + index} of ${this.payloadBytes} bytes came as ${JSON.stringify(text.slice(0, 80))}`);
      }
    });
    this.verified += held;
  }

  /** Sorted, in milliseconds from the intended sending. */
  latencies(): Float64Array {
    return this.#latencies.subarray(0, this.total).sort();
  }
}
