import type { ManualClock } from "../../adapters/conformance/manual_clock.ts";
import { memory, type OpenStorage, PeykError, type Storage } from "../../mod.ts";
import type { Random } from "../../src/ports/random.ts";
import { decodeEnvelope } from "../../src/protocol/codec.ts";
import type { Topic } from "../../src/protocol/names.ts";
import type { Gate } from "../cluster/gate.ts";
import { seededRandom } from "../engine/stage.ts";
import type { Trace } from "./trace.ts";

/** The note of a row that was taken by a process that is gone: nothing is known of it. */
const NOTHING_SAID = "";

/** Calls that may be made to fail. */
export const CALLS = ["get", "put", "read", "due", "take", "settle", "cancel", "retry", "publish", "holders"] as const;
export type Call = (typeof CALLS)[number];

interface Command {
  readonly gate: Gate;
  readonly run: () => void;
}

/**
 * A memory that outlives its engines, one engine at a time. Commits take 5 to 20 ms of virtual time, those that come meanwhile
 * are made together; single calls fail when they are told to; what a killed engine was about to write is written or not.
 */
export class SlowStore {
  /** These fail, as often as that. */
  readonly failing = new Map<Call, number>();
  /** Called before and after each command that is carried out: a node may be killed there. */
  step: () => void = () => {};
  /** By how much a write of this user's record is late, virtual milliseconds. */
  lag: (userId: string) => number = () => 0;
  /** How many commits were made. */
  commits = 0;
  readonly #clock: ManualClock;
  readonly #trace: Trace;
  readonly #random: Random;
  readonly #slow: boolean;
  readonly #taken = new Map<string, number>();
  /** How often each row was taken. */
  readonly #attempts = new Map<string, number>();
  readonly #nodes = new Set<string>();
  readonly #watched = new Set<Topic>();
  #opened: OpenStorage | undefined;
  #commands: Command[] = [];
  #committing = false;

  /** @param slow false: everything is written at once */
  constructor(clock: ManualClock, trace: Trace, random: Random, slow = true) {
    this.#clock = clock;
    this.#trace = trace;
    this.#random = random;
    this.#slow = slow;
  }

  /** The storage as one engine sees it. */
  for(gate: Gate): Storage {
    return { open: async () => this.#open(gate, await this.#start()) };
  }

  async close(): Promise<void> {
    await this.#opened?.close();
  }

  /** What a process does that finds the file of another one. */
  async #start(): Promise<OpenStorage> {
    const silent = { info() {}, warn() {}, error() {} };
    const opened = this.#opened ??= await memory().open({ clock: this.#clock, logger: silent, random: seededRandom(99) });
    // What the last process was about to write is written by now, or never.
    for (const { run } of this.#commands.splice(0)) run();
    for (const node of this.#nodes) await opened.users.lease(node, 0);
    this.#nodes.clear();
    const taken = [...this.#taken].map(([id, attempts]) => ({ id, attempts }));
    await opened.outbox.retry(taken, this.#clock.now(), NOTHING_SAID);
    this.#taken.clear();
    return opened;
  }

  #open(gate: Gate, opened: OpenStorage): OpenStorage {
    const { history, outbox, transport, users, work } = opened;
    const quick = <T>(name: Call | undefined, task: () => Promise<T>): Promise<T> => {
      if (gate.isKilled) return new Promise(() => {});
      if (name !== undefined && this.#fails(name)) return this.#fail(name, false);
      return gate.answer(task());
    };
    const commit = <T>(name: Call, task: () => Promise<T>): Promise<T> => {
      if (gate.isKilled) return new Promise(() => {});
      return gate.answer(
        new Promise<T>((resolve, reject) => {
          const run = (): void => {
            // Nobody hears what became of it.
            if (gate.isKilled && this.#random.fraction() < 0.5) return;
            if (!this.#fails(name)) return void task().then(resolve, reject);
            // Where one process writes, what it could not take is still there to be taken.
            const applied = name !== "take" && this.#random.fraction() < 0.5;
            const failed = (): void => void this.#fail(name, applied).catch(reject);
            if (applied) task().then(failed, failed);
            else failed();
          };
          this.#queue({ gate, run });
        }),
      );
    };
    return {
      transport: {
        durable: true,
        publish: (topic, bytes, options) =>
          commit("publish", () => {
            this.#watch(opened, topic);
            return transport.publish(topic, bytes, options).then((appended) => ({ ...appended, durability: "disk" }));
          }),
        subscribe: (topic, listener) =>
          quick(undefined, async () => {
            this.#watch(opened, topic);
            const subscription = await transport.subscribe(topic, {
              entry: (entry) => void gate.run("input", () => listener.entry(entry)),
              signal: (bytes) => void gate.run("input", () => listener.signal?.(bytes)),
              gap: () => void gate.run("input", () => listener.gap()),
            });
            gate.onKill(() => subscription.close());
            return subscription;
          }),
        signal: (topic, bytes) => transport.signal(topic, bytes),
      },
      history: { read: (...args) => quick("read", () => history!.read(...args)) },
      work: {
        consume: (handler) =>
          quick(undefined, async () => {
            const consumer = await work!.consume((item) =>
              new Promise((resolve, reject) => {
                const giveUp = (): void => reject(unavailable());
                if (!gate.isRunning) return giveUp();
                gate.onKill(giveUp);
                gate.run("input", () => void handler(item).then(resolve, reject));
              })
            );
            gate.onKill(() => void consumer.close());
            return { close: () => gate.answer(consumer.close()) };
          }),
      },
      users: {
        get: (id) => quick("get", () => users.get(id)),
        put: (record, ...what) => this.#late(gate, record.userId, () => commit("put", () => users.put(record, ...what))),
        remove: (...args) => commit("put", () => users.remove(...args)),
        pushableMembers: (...args) => quick("read", () => users.pushableMembers(...args)),
        holders: (what) => quick("holders", () => users.holders(what)),
        unseenSince: (...args) => quick(undefined, () => users.unseenSince(...args)),
        lease: (node, ms) => {
          this.#nodes.add(node);
          return quick(undefined, () => users.lease(node, ms));
        },
        liveNodes: () => quick(undefined, () => users.liveNodes()),
        orphans: (page) => quick(undefined, () => users.orphans(page)),
      },
      outbox: {
        due: (...args) =>
          quick("due", async () => {
            const { nextDueAt, rows } = await outbox.due(...args);
            return { nextDueAt, rows: rows.map((row) => row.note === NOTHING_SAID ? { ...row, note: undefined } : row) };
          }),
        waiting: (...args) => quick("read", () => outbox.waiting(...args)),
        waitingIn: (...args) => quick("read", () => outbox.waitingIn(...args)),
        take: (ids) =>
          commit("take", async () => {
            const taken = await outbox.take(ids);
            for (const id of taken) {
              const attempts = (this.#attempts.get(id) ?? 0) + 1;
              this.#attempts.set(id, attempts);
              this.#taken.set(id, attempts);
            }
            return taken;
          }),
        retry: (takes, ...args) =>
          commit("retry", () => {
            for (const { id } of takes) this.#taken.delete(id);
            return outbox.retry(takes, ...args);
          }),
        postpone: (...args) => commit("retry", () => outbox.postpone(...args)),
        settle: (ids, ...args) =>
          commit("settle", () => {
            for (const id of ids) this.#taken.delete(id);
            return outbox.settle(ids, ...args);
          }),
        decision: (topic) => quick("read", () => outbox.decision(topic)),
        decide: (...args) => commit("put", () => outbox.decide(...args)),
        undecided: (page) => quick("read", () => outbox.undecided(page)),
        cancel: (...args) => commit("cancel", () => outbox.cancel(...args)),
        underWay: (match) => quick(undefined, () => outbox.underWay(match)),
        ofMessage: (...args) => quick(undefined, () => outbox.ofMessage(...args)),
      },
      close: () => Promise.resolve(),
    };
  }

  /** Writes down what goes into a log, before anybody else hears of it. */
  #watch(opened: OpenStorage, topic: Topic): void {
    if (this.#watched.has(topic)) return;
    this.#watched.add(topic);
    void opened.transport.subscribe(topic, {
      entry: ({ epoch, offset, bytes, expiresAt }) => {
        const { id, from, options } = decodeEnvelope(bytes);
        const { inApp = false, urgency = "normal" } = options ?? {};
        const ends = this.#clock.elapsed() + expiresAt - this.#clock.now();
        this.#trace.note({ what: "appended", entry: { topic, epoch, offset, id, from, urgency, inApp, expiresAt: ends } });
      },
      gap() {},
    });
  }

  #queue(command: Command): void {
    if (!this.#slow) return command.run();
    this.#commands.push(command);
    if (!this.#committing) this.#commitLater();
  }

  #commitLater(): void {
    this.#committing = true;
    this.#clock.setTimeout(() => {
      const commands = this.#commands;
      this.commits++;
      this.#commands = [];
      this.#committing = false;
      for (const { run } of commands) {
        this.step();
        run();
        this.step();
      }
      if (this.#commands.length > 0 && !this.#committing) this.#commitLater();
    }, 5 + Math.floor(this.#random.fraction() * 16));
  }

  /** A write that is late is never made when its node is killed before. */
  #late<T>(gate: Gate, userId: string, write: () => Promise<T>): Promise<T> {
    const ms = this.lag(userId);
    if (ms === 0 || gate.isKilled) return write();
    return new Promise((resolve, reject) => {
      this.#clock.setTimeout(() => void gate.run("timer", () => void write().then(resolve, reject)), ms);
    });
  }

  #fails(name: Call): boolean {
    const left = this.failing.get(name) ?? 0;
    if (left === 0) return false;
    this.failing.set(name, left - 1);
    return true;
  }

  #fail(call: Call, applied: boolean): Promise<never> {
    this.#trace.note({ what: "store", call, applied });
    return Promise.reject(unavailable());
  }
}

function unavailable(): PeykError {
  return new PeykError("unavailable", "the storage can't be reached", { retryable: true });
}
