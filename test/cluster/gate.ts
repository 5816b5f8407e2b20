import { setImmediate } from "node:timers";
import type { ManualClock } from "../../adapters/conformance/manual_clock.ts";
import type { Clock, Timer } from "../../src/ports/clock.ts";

/** What waits for a stopped process. An event loop that goes on takes them in this order, or input before timers. */
const KINDS = ["timer", "input", "answer", "deferred"] as const;
export type Kind = (typeof KINDS)[number];

interface Held {
  readonly kind: Kind;
  readonly task: () => void;
}

/**
 * Everything that makes a node's code run goes through here, so that the node can be stopped (SIGSTOP), go on (SIGCONT), or be
 * killed (SIGKILL). Time goes on meanwhile.
 */
export class Gate {
  /** The node's clock. */
  readonly clock: Clock;
  readonly #base: ManualClock;
  readonly #timers = new Map<Timer, { held: Held | undefined }>();
  #held: Held[] = [];
  #state: "running" | "paused" | "killed" = "running";
  readonly #whenKilled: (() => void)[] = [];

  constructor(base: ManualClock) {
    this.#base = base;
    this.clock = {
      now: () => base.now(),
      elapsed: () => base.elapsed(),
      setTimeout: (task, ms) => {
        const entry: { held: Held | undefined } = { held: undefined };
        const timer = base.setTimeout(() => {
          const run = (): void => {
            if (this.#timers.delete(timer)) task();
          };
          entry.held = this.run("timer", run);
        }, ms);
        this.#timers.set(timer, entry);
        return timer;
      },
      clearTimeout: (timer) => {
        base.clearTimeout(timer);
        this.#timers.delete(timer);
      },
      defer: (task) => base.defer(() => void this.run("deferred", task)),
    };
  }

  get isRunning(): boolean {
    return this.#state === "running";
  }

  get isKilled(): boolean {
    return this.#state === "killed";
  }

  /** How many of the node's timers wait. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Runs a piece of the node's code now, or when the node goes on, or never. */
  run(kind: Kind, task: () => void): Held | undefined {
    if (this.#state === "running") task();
    else if (this.#state === "paused") {
      const held = { kind, task };
      this.#held.push(held);
      return held;
    }
    return undefined;
  }

  /** What the node gets of something it waits for. */
  answer<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      work.then(
        (value) => void this.run("answer", () => resolve(value)),
        (error: unknown) => void this.run("answer", () => reject(error)),
      );
    });
  }

  pause(): void {
    if (this.#state === "running") this.#state = "paused";
  }

  /** @param first what the event loop comes to first */
  async resume(first: "timer" | "input" = "timer"): Promise<void> {
    if (this.#state !== "paused") return;
    const order: readonly Kind[] = first === "timer" ? KINDS : ["input", "answer", "timer", "deferred"];
    while (this.#held.length > 0 && this.#state === "paused") {
      const kind = order.find((kind) => this.#held.some((held) => held.kind === kind))!;
      const [next] = this.#held.splice(this.#held.findIndex((held) => held.kind === kind), 1);
      next!.task();
      // Promise callbacks run between two callbacks of the event loop; deferred tasks only when the others are through.
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    if (this.#state === "paused") this.#state = "running";
  }

  kill(): void {
    if (this.#state === "killed") return;
    this.#state = "killed";
    this.#held = [];
    for (const timer of this.#timers.keys()) this.#base.clearTimeout(timer);
    this.#timers.clear();
    for (const tell of this.#whenKilled) tell();
  }

  onKill(tell: () => void): void {
    this.#whenKilled.push(tell);
  }
}
