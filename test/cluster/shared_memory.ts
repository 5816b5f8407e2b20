import type { ManualClock } from "../../adapters/conformance/manual_clock.ts";
import { asStored } from "../../adapters/conformance/records.ts";
import { memory, PeykError } from "../../mod.ts";
import { SENDING_MS } from "../../src/ports/outbox.ts";
import type { OpenStorage, Storage } from "../../src/ports/storage.ts";
import type { UserRecord } from "../../src/ports/users.ts";
import type { TopicListener } from "../../src/ports/transport.ts";
import { seededRandom } from "../engine/stage.ts";
import type { Gate } from "./gate.ts";
import { type Member, PeersHub } from "./peers_hub.ts";

/** How one node reaches the storage. */
export interface Access extends Member {
  readonly gate: Gate;
  /** Calls are refused, entries don't arrive. */
  isAway: boolean;
  /** Entries arrive this much later than they are stored, milliseconds. */
  lagMs: number;
  /** So long is each question on its way; they stay in order. Absent: no time at all. */
  slowMs?: number;
}

/** Work that was handed to somebody who does not finish it goes to somebody else after this long. */
const WORK_MS = 30_000;

/**
 * One memory for several engines. Survives any of them, so it calls itself durable; what is taken from the outbox and never
 * settled comes back; leases stand still while the storage is away from everybody.
 */
export class SharedMemory {
  readonly hub: PeersHub;
  readonly #clock: ManualClock;
  readonly #taken = new Map<string, { at: number; by: Access; readonly attempts: number }>();
  /** How often each row was taken. */
  readonly #attempts = new Map<string, number>();
  readonly #leases = new Map<string, number>();
  readonly #heals = new Map<Access, (() => void)[]>();
  #opened: OpenStorage | undefined;
  #awaySince: number | undefined;

  constructor(clock: ManualClock) {
    this.#clock = clock;
    this.hub = new PeersHub(clock);
  }

  /** The storage as one node sees it. */
  for(access: Access): Storage {
    return { open: async () => this.#open(access, await this.opened()) };
  }

  async opened(): Promise<OpenStorage> {
    const silent = { info() {}, warn() {}, error() {} };
    return this.#opened ??= await memory().open({ clock: this.#clock, logger: silent, random: seededRandom(99) });
  }

  async close(): Promise<void> {
    await this.#opened?.close();
  }

  get isAway(): boolean {
    return this.#awaySince !== undefined;
  }

  /** Away from everybody: whose lease could not be renewed is not dead for it. */
  async setAway(away: boolean): Promise<void> {
    if (away) this.#awaySince ??= this.#clock.elapsed();
    else if (this.#awaySince !== undefined) {
      const { users } = await this.opened();
      for (const [node, until] of this.#leases) {
        const left = until - this.#awaySince;
        if (left <= 0) continue;
        this.#leases.set(node, this.#clock.elapsed() + left);
        await users.lease(node, left);
      }
      this.#awaySince = undefined;
    }
  }

  /** Ends a node's own absence. @param how whether what was missed arrives late, or the node is only told that it missed something */
  heal(access: Access): void {
    access.isAway = false;
    for (const tell of this.#heals.get(access)?.splice(0) ?? []) tell();
  }

  #open(access: Access, opened: OpenStorage): OpenStorage {
    const { gate } = access;
    const { users, outbox, transport, history, work } = opened;
    const recent = new Map<string, UserRecord>();
    const isAway = (): boolean => access.isAway || this.#awaySince !== undefined;
    let arrivesAt = 0;
    const travel = (resolve: () => void): void => {
      const { slowMs = 0 } = access;
      arrivesAt = Math.max(arrivesAt, this.#clock.elapsed() + slowMs);
      if (arrivesAt > this.#clock.elapsed()) this.#clock.setTimeout(resolve, arrivesAt - this.#clock.elapsed());
      else this.#clock.defer(resolve);
    };
    const call = <T>(task: () => Promise<T>): Promise<T> =>
      gate.answer(
        // The question travels, and so does the answer: either may find the way closed.
        new Promise<void>(travel).then(async () => {
          if (isAway()) throw unavailable();
          return await task();
        }),
      );
    // Each storage has connections of its own: what arrives at a node arrives in order.
    const tail: (() => void)[] = [];
    const arrive = (task: () => void): void => {
      const next = (): void => void gate.run("input", tail.shift()!);
      tail.push(task);
      if (access.lagMs > 0 || tail.length > 1 && this.#lagging.has(access)) {
        this.#lagging.add(access);
        this.#clock.setTimeout(() => {
          next();
          if (tail.length === 0) this.#lagging.delete(access);
        }, access.lagMs);
      } else this.#clock.defer(next);
    };
    return {
      transport: {
        durable: true,
        publish: async (topic, bytes, options) => ({
          ...await call(() => transport.publish(topic, bytes, options)),
          durability: "majority",
        }),
        subscribe: (topic, listener) =>
          call(async () => {
            let missed = false;
            let closed = false;
            const bring = (task: (listener: TopicListener) => void): void => {
              if (isAway()) {
                if (!missed) {
                  this.#onHeal(access, () => {
                    missed = false;
                    arrive(() => void (closed || listener.gap()));
                  });
                }
                missed = true;
              } else arrive(() => void (closed || task(listener)));
            };
            const subscription = await transport.subscribe(topic, {
              entry: (entry) => bring((listener) => listener.entry(entry)),
              // Unlogged: whoever is away misses it for good.
              signal: (bytes) => isAway() || arrive(() => void (closed || listener.signal?.(bytes))),
              gap: () => bring((listener) => listener.gap()),
            });
            gate.onKill(() => subscription.close());
            return {
              head: subscription.head,
              close: () => {
                closed = true;
                subscription.close();
              },
            };
          }),
        signal: (topic, bytes) => isAway() || transport.signal(topic, bytes),
      },
      history: { read: (...args) => call(() => history!.read(...args)) },
      work: {
        consume: (handler) =>
          call(async () => {
            const consumer = await work!.consume((item) =>
              new Promise((resolve, reject) => {
                const giveUp = (): void => reject(unavailable());
                if (isAway() || !gate.isRunning) return giveUp();
                const timer = this.#clock.setTimeout(giveUp, WORK_MS);
                gate.onKill(giveUp);
                gate.run("input", () => void handler(item).then(resolve, reject).finally(() => this.#clock.clearTimeout(timer)));
              })
            );
            gate.onKill(() => void consumer.close());
            return { close: () => gate.answer(consumer.close()) };
          }),
      },
      users: {
        get: (id) => call(() => users.get(id)),
        // What a node wrote last it need not read again, whatever others have written since.
        recent: (userId) => recent.get(userId),
        put: (record, ...what) => {
          recent.delete(record.userId);
          return call(async () => {
            const versions = await users.put(record, ...what);
            if (versions !== undefined) recent.set(record.userId, asStored(record, versions));
            return versions;
          });
        },
        remove: (userId, version) => {
          recent.delete(userId);
          return call(() => users.remove(userId, version));
        },
        pushableMembers: (...args) => call(() => users.pushableMembers(...args)),
        holders: (what) => call(() => users.holders(what)),
        unseenSince: (...args) => call(() => users.unseenSince(...args)),
        lease: (node, ms) =>
          call(async () => {
            this.#leases.set(node, this.#clock.elapsed() + ms);
            await users.lease(node, ms);
          }),
        liveNodes: () => call(() => users.liveNodes()),
        orphans: (page) => call(() => users.orphans(page)),
      },
      outbox: {
        due: (now, ...what) =>
          call(async () => {
            for (const [id, { at, attempts }] of this.#taken) {
              if (at + SENDING_MS > this.#clock.elapsed()) continue;
              this.#taken.delete(id);
              await outbox.retry([{ id, attempts }], now, "taken by a node that is gone");
            }
            return await outbox.due(now, ...what);
          }),
        waiting: (...args) => call(() => outbox.waiting(...args)),
        waitingIn: (...args) => call(() => outbox.waitingIn(...args)),
        postpone: (...args) => call(() => outbox.postpone(...args)),
        decision: (topic) => call(() => outbox.decision(topic)),
        decide: (...args) => call(() => outbox.decide(...args)),
        undecided: (page) => call(() => outbox.undecided(page)),
        take: (ids) =>
          call(async () => {
            const taken = await outbox.take(ids);
            for (const id of taken) {
              const attempts = (this.#attempts.get(id) ?? 0) + 1;
              this.#attempts.set(id, attempts);
              this.#taken.set(id, { at: this.#clock.elapsed(), attempts, by: access });
            }
            return taken;
          }),
        retry: (takes, ...args) =>
          call(async () => {
            const own = takes.filter(({ id }) => this.#taken.get(id)?.by === access);
            for (const { id } of own) this.#taken.delete(id);
            await outbox.retry(own, ...args);
          }),
        settle: (ids, ...args) =>
          call(async () => {
            for (const id of ids) this.#taken.delete(id);
            await outbox.settle(ids, ...args);
          }),
        cancel: (...args) => call(() => outbox.cancel(...args)),
        underWay: (match) => call(() => outbox.underWay(match)),
        ofMessage: (...args) => call(() => outbox.ofMessage(...args)),
      },
      peers: this.hub.for(access),
      close: () => Promise.resolve(),
    };
  }

  readonly #lagging = new Set<Access>();

  #onHeal(access: Access, tell: () => void): void {
    const tells = this.#heals.get(access) ?? [];
    tells.push(tell);
    this.#heals.set(access, tells);
  }
}

function unavailable(): PeykError {
  return new PeykError("unavailable", "the storage can't be reached", { retryable: true });
}
