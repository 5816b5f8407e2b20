import type { OpenStorage, Retention, Storage } from "../../src/ports/storage.ts";
import type { Entry, TopicListener } from "../../src/ports/transport.ts";
import type { Topic } from "../../src/protocol/names.ts";
import { createManualClock, type ManualClock } from "./manual_clock.ts";

/** One thing that a storage's ports must do. */
export interface StorageCase {
  readonly port: "transport" | "history" | "work" | "users" | "outbox";
  readonly name: string;
  /** What the storage is to keep; the defaults when absent. */
  readonly retention?: Retention;
  /** Only for storages whose transport says `durable`. */
  readonly durable?: true;
  /** Rejects when the storage does otherwise. */
  run(stage: Stage): Promise<void>;
}

/** What a case plays on. */
export interface Stage {
  readonly clock: ManualClock;
  /** The storage, opened on an empty place. */
  readonly storage: OpenStorage;
  /** Closes the storage and opens it again where it was. */
  reopen(): Promise<OpenStorage>;
  /** Waits, in real time, for what the storage does on its own. */
  until(condition: () => boolean | Promise<boolean>, what: string): Promise<void>;
}

/**
 * Runs one case against one storage.
 *
 * @param storage makes a storage on a place that is empty, once per case. It is opened a second time, after a close, by cases of
 * durable storages.
 * @param options.patienceMs how long to wait, in real milliseconds, for what a storage does on its own. Default 30,000.
 * @returns "skipped" when the storage lacks the port or does not claim what the case is about
 * @throws what the storage did otherwise
 */
export async function runCase(
  { port, durable, retention, run }: StorageCase,
  storage: (retention: Retention) => Storage | Promise<Storage>,
  { patienceMs = 30_000 }: { patienceMs?: number } = {},
): Promise<"passed" | "skipped"> {
  const clock = createManualClock();
  const silent = { info() {}, warn() {}, error() {} };
  const random = { id: () => crypto.randomUUID(), fraction: Math.random };
  const made = await storage(retention ?? {});
  const open = () => made.open({ clock, logger: silent, random });
  let opened = await open();
  try {
    const absent = (port === "history" || port === "work") && opened[port] === undefined;
    if (absent || (durable && !opened.transport.durable)) return "skipped";
    await run({
      clock,
      storage: opened,
      async reopen() {
        await opened.close();
        return opened = await open();
      },
      async until(condition, what) {
        const giveUp = performance.now() + patienceMs;
        for (; !(await condition()); await new Promise((resolve) => setTimeout(resolve, 1))) {
          if (performance.now() > giveUp) throw new Error(`never happened: ${what}`);
          await clock.settle();
        }
      },
    });
    return "passed";
  } finally {
    await within(patienceMs, opened.close());
  }
}

/** A storage that can't close must not keep the others' cases waiting. */
async function within(ms: number, closing: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((_, reject) =>
    timer = setTimeout(() => reject(new Error("never happened: close resolves")), ms)
  );
  await Promise.race([closing, late]).finally(() => clearTimeout(timer));
}

/** A subscriber that remembers what it was told. */
export interface Ear extends TopicListener {
  readonly offsets: number[];
  readonly entries: Entry[];
  readonly signals: Uint8Array[];
}

export function createEar(): Ear {
  const ear: Ear = {
    offsets: [],
    entries: [],
    signals: [],
    entry(entry) {
      ear.entries.push(entry);
      ear.offsets.push(entry.offset);
    },
    signal: (bytes) => void ear.signals.push(bytes),
    gap() {},
  };
  return ear;
}

/** Publishes `count` entries one after the other, each a byte long, its number from 1. */
export async function publishMany(
  { storage, clock }: Pick<Stage, "storage" | "clock">,
  topic: Topic,
  count: number,
  ttlMs = 3600_000,
): Promise<void> {
  for (let index = 1; index <= count; index++) {
    await storage.transport.publish(topic, Uint8Array.of(index), {
      key: crypto.randomUUID(),
      expiresAt: clock.now() + ttlMs,
    });
  }
}
