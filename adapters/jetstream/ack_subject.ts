/** Where a delivered message stands, as its reply subject says. */
export interface Delivery {
  /** How often it was delivered, this time included. */
  readonly deliveries: number;
  readonly streamSequence: number;
  readonly consumerSequence: number;
  /** Milliseconds since 1970, by the server's clock. */
  readonly storedAt: number;
}

/**
 * Reads `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer sequence>.…`, with or without domain and account
 * before the stream (ADR-15). Written out by hand: it runs for every entry of the whole cluster.
 */
export class AckSubjects {
  readonly #marker: string;
  #start = -1;

  constructor(stream: string, consumer: string) {
    this.#marker = `.${stream}.${consumer}.`;
  }

  /** @returns undefined: not of this consumer */
  read(reply: string): Delivery | undefined {
    // What stands before the numbers is always the same: look for it once.
    if (this.#start < 0 || !reply.startsWith(this.#marker, this.#start - this.#marker.length)) {
      const found = reply.indexOf(this.#marker);
      if (found < 0) return undefined;
      this.#start = found + this.#marker.length;
    }
    let at = this.#start;
    const next = (): number => {
      let value = 0;
      for (let code = reply.charCodeAt(at++); code >= 48 && code <= 57; code = reply.charCodeAt(at++)) {
        value = value * 10 + code - 48;
      }
      return value;
    };
    return { deliveries: next(), streamSequence: next(), consumerSequence: next(), storedAt: next() / 1_000_000 };
  }
}
