import type { Clock, Timer } from "../../src/ports/clock.ts";
import type { Api } from "./api.ts";
import type { JetStreamMessage } from "./connection.ts";
import { type Stored, toBytes } from "./state_format.ts";
import { readAtLeader } from "./stored_message.ts";

/** Fewer are asked for one by one: that is as many questions. */
const WORTH_A_SNAPSHOT = 3;
/** Documents in one question. The server gives at most 1,024. */
const MOST_AT_ONCE = 256;
/** How often replicas are asked, which lag behind the leader by moments. */
const SNAPSHOTS = 3;
/** How much longer than the leader they may take: a question may have gone to one that is frozen. */
const SNAPSHOT_MS = 300;
/** For so long after an answer that did not come nothing is asked of them. */
const SUSPECT_MS = 10_000;

/** Some documents as one replica had them at one time. */
interface Snapshot {
  readonly found: ReadonlyMap<string, Stored>;
  /** The replica's last sequence at that time. */
  readonly through: number;
}

type Wanted = PromiseWithResolvers<Stored | undefined>;

/**
 * Reads documents as new as the leader has them, or newer. What is wanted at the same moment is asked for at once: whichever replica
 * answers says how far it was then, and the leader says how far one has to be. So a replica that lags is found out, and the leader
 * is asked for each document itself, as it is when there are only a few, or when the replicas are silent.
 */
export class DocumentReader {
  readonly #api: Api;
  readonly #clock: Clock;
  readonly #stream: string;
  /** A document that is always there: without any, an answer would not say how far the replica was. */
  readonly #mark: string;
  #wanted = new Map<string, Wanted>();
  #suspectUntil = -Infinity;

  constructor(api: Api, clock: Clock, stream: string, mark: string) {
    this.#api = api;
    this.#clock = clock;
    this.#stream = stream;
    this.#mark = mark;
  }

  /** @throws {PeykError} `unavailable`, `closed` */
  read(subject: string): Promise<Stored | undefined> {
    let wanted = this.#wanted.get(subject);
    if (wanted === undefined) {
      if (this.#wanted.size === 0) queueMicrotask(() => this.#ask());
      this.#wanted.set(subject, wanted = Promise.withResolvers());
    }
    return wanted.promise;
  }

  #ask(): void {
    const wanted = [...this.#wanted];
    this.#wanted = new Map();
    const isWorthIt = wanted.length >= WORTH_A_SNAPSHOT && this.#clock.elapsed() >= this.#suspectUntil;
    if (!isWorthIt || !this.#areSnapshotsCheap()) return this.#readEach(wanted);
    for (let at = 0; at < wanted.length; at += MOST_AT_ONCE) void this.#readTogether(wanted.slice(at, at + MOST_AT_ONCE));
  }

  #readEach(wanted: readonly [string, Wanted][]): void {
    for (const [subject, { resolve }] of wanted) resolve(readAtLeader(this.#api, this.#stream, { last_by_subj: subject }));
  }

  async #readTogether(wanted: readonly [string, Wanted][]): Promise<void> {
    try {
      const found = await this.#snapshotOf(wanted.map(([subject]) => subject));
      if (found === undefined) this.#readEach(wanted);
      else for (const [subject, { resolve }] of wanted) resolve(found.get(subject));
    } catch (error) {
      for (const [, { reject }] of wanted) reject(error);
    }
  }

  /** @returns undefined: no replica answered in time that was as far as the leader */
  async #snapshotOf(subjects: readonly string[]): Promise<Snapshot["found"] | undefined> {
    // Both are asked at once. How long the leader takes says how busy the servers are: only after that a replica is late.
    const first = this.#ofAnyReplica(subjects);
    const leaders = await this.#leadersLast();
    let snapshot = await this.#within(first);
    for (let tries = 1; leaders !== undefined && snapshot !== undefined; tries++) {
      if (snapshot.through >= leaders) return snapshot.found;
      if (tries === SNAPSHOTS) break;
      snapshot = await this.#within(this.#ofAnyReplica(subjects));
    }
    return undefined;
  }

  /** @returns undefined: not in time */
  async #within<Result>(answer: Promise<Result>): Promise<Result | undefined> {
    let timer: Timer;
    const late = new Promise<undefined>((resolve) => {
      timer = this.#clock.setTimeout(() => {
        this.#suspectUntil = this.#clock.elapsed() + SUSPECT_MS;
        resolve(undefined);
      }, SNAPSHOT_MS);
    });
    return await Promise.race([answer, late]).finally(() => this.#clock.clearTimeout(timer));
  }

  /** Where the leader's last document stands; undefined when that one has been removed. */
  async #leadersLast(): Promise<number | undefined> {
    return (await readAtLeader(this.#api, this.#stream, { last_by_subj: ">" }))?.seq;
  }

  /** Asks once (ADR-31). @returns undefined: a part of the answer was lost, or it says that this can't be had */
  async #ofAnyReplica(subjects: readonly string[]): Promise<Snapshot | undefined> {
    const found = new Map<string, Stored>();
    let last = 0;
    const take = ({ headers, data }: JetStreamMessage): Snapshot | undefined | "more" => {
      // Each names the one before it.
      if (Number(headers?.get("Nats-Last-Sequence") || NaN) !== last) return undefined;
      if (headers!.code === 204) {
        const isWhole = headers!.get("Nats-Num-Pending") === "0";
        return isWhole ? { found, through: Number(headers!.get("Nats-UpTo-Sequence")) } : undefined;
      }
      last = Number(headers!.get("Nats-Sequence"));
      found.set(headers!.get("Nats-Subject"), { seq: last, bytes: data });
      return "more";
    };
    const body = toBytes({ multi_last: [...subjects, this.#mark] });
    return await this.#api.inbox.ask(`$JS.API.DIRECT.GET.${this.#stream}`, body, take);
  }

  /** Before 2.15 a server goes through all its subjects for each such question. */
  #areSnapshotsCheap(): boolean {
    const [major = 0, minor = 0] = (this.#api.link.connection.info?.version ?? "").split(".").map(Number);
    return major > 2 || (major === 2 && minor >= 15);
  }
}
