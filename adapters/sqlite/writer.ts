import { setImmediate } from "node:timers";
import { Worker } from "node:worker_threads";
import { PeykError } from "../../src/protocol/errors.ts";
import type { Answer, Answers, Command, Outcome, Reply, Request, WriterOptions } from "./commands.ts";
import { type Failure, failure, notStarted, threadEnded, toError } from "./failure.ts";
import { workerModule } from "./worker_module.ts";

/** Commands in one transaction at most: what bounds the wait of the first of them. */
const MAX_BATCH = 1_000;
/** What the writing thread has for what it forgets at once: batches come and go there, and nothing stays. */
const YOUNG_MB = 12;

interface Waiting {
  readonly command: Command;
  readonly answered: (answer: Answer) => void;
  readonly failed: (error: PeykError) => void;
}

/** The calling thread's end of the writing thread: gathers commands while a batch is being synced, and sends them as the next. */
export class Writer {
  readonly #worker: Worker;
  #queue: Waiting[] = [];
  #batch: readonly Waiting[] = [];
  #flushing = false;
  /** Why nothing more is accepted. */
  #refusal: Failure | undefined;
  #closing: Promise<void> | undefined;
  readonly #idle: (() => void)[] = [];
  #broke: ((why: Failure) => void) | undefined;
  /** Who waits for the thread to open or close the file. */
  #opened: ((reply: Reply) => void) | undefined;
  /** What ended the thread. */
  #died: { readonly cause: unknown } | undefined;

  /** @throws {PeykError} what the port's `open` throws */
  static async open(options: WriterOptions): Promise<{ writer: Writer; epoch: number }> {
    const writer = new Writer(options);
    const reply = await new Promise<Reply>((resolve) => writer.#opened = resolve);
    if (reply.kind === "opened") {
      writer.#worker.unref();
      return { writer, epoch: reply.epoch };
    }
    const error = reply.kind === "refused" ? toError(reply.failure) : notStarted(writer.#died?.cause);
    await writer.#worker.terminate();
    throw error;
  }

  private constructor(options: WriterOptions) {
    this.#worker = startThread(options);
    this.#worker.on("message", (reply: Reply) => this.#receive(reply));
    this.#worker.on("error", (error) => this.#die(error));
    this.#worker.on("exit", (code) => this.#die(new Error(`exit code ${code}`)));
  }

  /** Calls `broke` once, when nothing more is accepted though it was not closed. */
  whenBroken(broke: (why: Failure) => void): void {
    this.#broke = broke;
  }

  /** Resolves when the command's transaction is synced. */
  send<Kind extends Command["kind"]>(command: Extract<Command, { kind: Kind }>): Promise<Answers[Kind]> {
    return new Promise((resolve, reject) => this.write(command, resolve as (answer: Answer) => void, reject));
  }

  /** As `send`, with callbacks that run in the order in which the commands were written. */
  write(command: Command, answered: (answer: Answer) => void, failed: (error: PeykError) => void): void {
    if (this.#closing !== undefined) return failed(closedError());
    if (this.#refusal !== undefined) return failed(toError(this.#refusal));
    this.#queue.push({ command, answered, failed });
    this.#flushSoon();
  }

  /** Writes what was asked for, then ends the thread. */
  close(): Promise<void> {
    return this.#closing ??= this.#end();
  }

  async #end(): Promise<void> {
    if (this.#queue.length > 0 || this.#batch.length > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
    if (this.#died !== undefined) return;
    const closed = new Promise<Reply>((resolve) => this.#opened = resolve);
    this.#worker.ref();
    this.#worker.postMessage("close" satisfies Request);
    await closed;
    await this.#worker.terminate();
  }

  /** Once this turn has brought all its commands: those who were just answered will ask again. */
  #flushSoon(): void {
    if (this.#flushing || this.#batch.length > 0) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      if (this.#batch.length > 0 || this.#queue.length === 0) return;
      this.#batch = this.#queue.slice(0, MAX_BATCH);
      this.#queue = this.#queue.slice(MAX_BATCH);
      this.#worker.ref();
      try {
        this.#worker.postMessage(this.#batch.map(({ command }) => command) satisfies Request);
      } catch (error) {
        // Bytes whose buffer was given away meanwhile can't be sent.
        const why = failure("unavailable", String(error));
        this.#receive({ kind: "done", outcomes: this.#batch.map(() => ({ failure: why })), broken: undefined });
      }
    });
  }

  #receive(reply: Reply): void {
    if (reply.kind !== "done") return this.#opened?.(reply);
    if (reply.broken !== undefined) this.#break(reply.broken);
    this.#settle(reply.outcomes);
    this.#worker.unref();
    if (this.#refusal !== undefined) this.#refuseAll(this.#refusal);
    if (this.#queue.length > 0) return this.#flushSoon();
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  #settle(outcomes: readonly Outcome[]): void {
    const batch = this.#batch;
    this.#batch = [];
    for (const [index, { answered, failed }] of batch.entries()) {
      const outcome = outcomes[index]!;
      if ("failure" in outcome) failed(toError(outcome.failure));
      else answered(outcome.answer);
    }
  }

  /** The thread is gone: whatever still waits will never be answered. */
  #die(cause: unknown): void {
    this.#died ??= { cause };
    const why = this.#break(threadEnded(String(cause)));
    const batch = this.#batch;
    this.#batch = [];
    for (const { failed } of batch) failed(toError(why));
    this.#refuseAll(why);
    for (const resolve of this.#idle.splice(0)) resolve();
    this.#opened?.({ kind: "closed" });
  }

  /** Accepts nothing more, for the first reason there was. */
  #break(why: Failure): Failure {
    if (this.#refusal !== undefined) return this.#refusal;
    this.#refusal = why;
    if (this.#closing === undefined) this.#broke?.(why);
    return why;
  }

  #refuseAll(why: Failure): void {
    for (const { failed } of this.#queue.splice(0)) failed(toError(why));
  }
}

/** @throws {PeykError} `unsupported`: this process may not start threads, or none at that module */
function startThread(options: WriterOptions): Worker {
  try {
    return new Worker(workerModule(), { workerData: options, resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB } });
  } catch (error) {
    throw notStarted(error);
  }
}

export function closedError(): PeykError {
  return new PeykError("closed", "the storage is closed", { hint: "Open the storage again." });
}
