import type { Clock } from "../../src/ports/clock.ts";
import { PATIENCE_MS } from "./api.ts";
import { digest, type Draft, fromBytes, toBytes } from "./state_format.ts";
import type { StateStream } from "./state_stream.ts";
import { unanswered } from "./state_writer.ts";

const NOTHING = new Uint8Array();

/** A node's word that it lives, as stored. */
export interface Lease {
  readonly node: string;
  /** How long it is good for; 0: not at all. */
  readonly ms: number;
  readonly subject: string;
  readonly seq: number;
}

/** What this node knows of its own leases. */
interface OwnLease {
  readonly ms: number;
  /** Monotonic: when the last renewal that succeeded was begun, and when it was answered. */
  readonly renewedAt: number;
  readonly answeredAt: number;
}

/**
 * Who lives. Nodes have no clock in common: another node's lease has lapsed when it was not rewritten for as long as it is good,
 * by this node's monotonic clock, while this node could have seen it and could itself write. So neither an outage that keeps
 * everybody from renewing, nor a sleep of this process, makes anybody seem dead.
 */
export class Leases {
  readonly #stream: StateStream;
  readonly #clock: Clock;
  readonly #own = new Map<string, OwnLease>();
  /** Since when (monotonic, without the time that does not count) other nodes' leases stand as they do. */
  readonly #seen = new Map<string, { seq: number; since: number }>();
  /** Since when (monotonic) this node's renewals have come in time; undefined: they do not. */
  #steadySince: number | undefined;

  constructor(stream: StateStream, clock: Clock) {
    this.#stream = stream;
    this.#clock = clock;
  }

  /** Says that a node lives for `ms` more. A renewal that could not be written while it was of use is given up. */
  async renew(node: string, ms: number): Promise<void> {
    const begun = this.#clock.elapsed();
    const before = this.#own.get(node);
    const slept = before !== undefined && begun - before.answeredAt > before.ms / 2;
    const steadySince = slept ? undefined : this.#steadySince;
    this.#steadySince = undefined;
    let cause: unknown;
    const patience = this.#stream.api.patience(Math.min(PATIENCE_MS, ms || PATIENCE_MS));
    do {
      const outcome = await this.#stream.write([{ subject: this.#subject(node), bytes: toBytes({ node, ms }) }]);
      if (outcome.kind === "stored") {
        const now = this.#clock.elapsed();
        this.#steadySince = steadySince ?? now;
        // Others may have had to wait as long: that time does not count.
        if (now - begun > ms / 10) this.#pass(begun, now);
        if (ms === 0) this.#own.delete(node);
        else this.#own.set(node, { ms, renewedAt: begun, answeredAt: now });
        return;
      }
      cause = outcome;
    } while (await patience.again());
    throw unanswered(cause);
  }

  async live(): Promise<string[]> {
    const leases = await this.#read();
    return leases.filter((lease) => !this.#hasLapsed(lease)).map(({ node }) => node);
  }

  /** Of nodes that are dead or have left, in a fixed order. */
  async lapsed(): Promise<Lease[]> {
    const leases = await this.#read();
    return leases.filter((lease) => this.#hasLapsed(lease)).sort((a, b) => a.node < b.node ? -1 : 1);
  }

  /** What must be written with a record that names `nodes`, so that each is known as long as it holds somebody. */
  async drafts(nodes: readonly string[]): Promise<Draft[]> {
    const foreign = [...new Set(nodes)].filter((node) => !this.#own.has(node));
    const stored = await Promise.all(foreign.map((node) => this.#stream.read(this.#subject(node))));
    return foreign.flatMap((node, index) => {
      const lease = stored[index];
      if (lease !== undefined && lease.bytes.length > 0) return [];
      return [{ subject: this.#subject(node), bytes: toBytes({ node, ms: 0 }), expected: lease?.seq ?? 0 }];
    });
  }

  /** Forgets a node that holds nobody, unless it is heard of meanwhile. */
  async forget({ node, subject, seq }: Lease): Promise<void> {
    this.#seen.delete(node);
    // When that fails, the next look does it again.
    await this.#stream.write([{ subject, bytes: NOTHING, expected: seq, ttl: 1 }]);
  }

  /** Nothing could be written in this time: it does not count towards any lease's end. */
  #pass(from: number, to: number): void {
    if (this.#steadySince! < to) this.#steadySince! += to - Math.max(from, this.#steadySince!);
    for (const [node, { seq, since }] of this.#seen) {
      if (since < to) this.#seen.set(node, { seq, since: since + to - Math.max(from, since) });
    }
  }

  #subject(node: string): string {
    return `${this.#stream.prefix}.l.${digest(node)}`;
  }

  async #read(): Promise<Lease[]> {
    const subjects = await this.#stream.subjects(`${this.#stream.prefix}.l.*`);
    const stored = await Promise.all(subjects.map((subject) => this.#stream.read(subject)));
    const leases = stored.flatMap((document, index) => {
      if (document === undefined || document.bytes.length === 0) return [];
      const { node, ms } = fromBytes(document.bytes) as { node: string; ms: number };
      return [{ node, ms, subject: subjects[index]!, seq: document.seq }];
    });
    const now = this.#clock.elapsed();
    for (const { node, seq } of leases) {
      if (this.#seen.get(node)?.seq !== seq) this.#seen.set(node, { seq, since: now });
    }
    return leases;
  }

  #hasLapsed({ node, ms }: Lease): boolean {
    if (ms === 0) return true;
    const now = this.#clock.elapsed();
    const own = this.#own.get(node);
    if (own !== undefined) return own.renewedAt + own.ms <= now;
    // Asleep, or cut off: nothing that was seen before counts.
    const attentive = [...this.#own.values()].some(({ ms, renewedAt }) => now - renewedAt <= ms / 2);
    if (!attentive || this.#steadySince === undefined) return false;
    return now - Math.max(this.#seen.get(node)!.since, this.#steadySince) >= ms;
  }
}
