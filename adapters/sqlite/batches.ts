import type { Answer, Command, Outcome, WriterOptions } from "./commands.ts";
import { classify, type Failure } from "./failure.ts";
import { LogWriter } from "./log_writer.ts";
import type { OpenFile } from "./open_file.ts";
import { OutboxWriter } from "./outbox_writer.ts";
import { UserWriter } from "./user_writer.ts";

/** Executes commands, a batch per transaction. */
export class Batches {
  /** Why nothing more is written. */
  broken: Failure | undefined;
  readonly #file: OpenFile;
  readonly #options: WriterOptions;
  readonly #logs: LogWriter;
  readonly #users: UserWriter;
  readonly #outbox: OutboxWriter;
  readonly #begin: () => void;
  readonly #commit: () => void;
  readonly #rollback: () => void;
  #commits = 0;

  constructor(file: OpenFile, options: WriterOptions) {
    const { db } = file;
    this.#file = file;
    this.#options = options;
    this.#logs = new LogWriter(db, options);
    this.#outbox = new OutboxWriter(db);
    this.#users = new UserWriter(db, this.#outbox);
    const [begin, commit, rollback] = ["BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"].map((sql) => {
      const statement = db.prepare(sql);
      return () => void statement.run();
    });
    [this.#begin, this.#commit, this.#rollback] = [begin!, commit!, rollback!];
  }

  /** Writes all commands in one transaction; those it can't write don't take the others with them. */
  write(commands: readonly Command[]): Outcome[] {
    if (this.broken !== undefined) return commands.map(() => ({ failure: this.broken! }));
    try {
      this.#begin();
      const outcomes = commands.map((command) => ({ answer: this.#do(command) }));
      const now = Math.floor(commands.at(-1)!.now);
      this.#logs.forget(now, commands.length);
      this.#outbox.forget(now, commands.length);
      this.#sync();
      return outcomes;
    } catch (error) {
      const found = classify(error, this.#file.path, "unavailable");
      this.#undo();
      if (this.broken === undefined && commands.length > 1) return commands.flatMap((command) => this.write([command]));
      return commands.map(() => ({ failure: this.broken ?? found }));
    }
  }

  /**
   * Ends the transaction. One that finds no room has written behind the log's valid end only, where the next one writes, and that may
   * find some. After any other failure it is unknown what reached the disk, and a later sync that succeeds does not mend it.
   */
  #sync(): void {
    const { commitDelayMs, failCommit } = this.#options.faults;
    if (commitDelayMs !== undefined) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, commitDelayMs);
    try {
      if (++this.#commits === failCommit) throw Object.assign(new Error("disk I/O error"), { errcode: 10 });
      this.#commit();
    } catch (error) {
      const found = classify(error, this.#file.path, "unavailable");
      if (found.code !== "storage-full") this.broken = found;
      throw found;
    }
    this.broken = this.#file.lost();
    if (this.broken !== undefined) throw this.broken;
  }

  #undo(): void {
    try {
      this.#rollback();
    } catch {
      // sqlite already rolled back, as it does when the disk is full or fails
    }
  }

  #do(command: Command): Answer {
    const { now } = command;
    switch (command.kind) {
      case "publish":
        return this.#logs.publish(command);
      case "swept":
        return this.#logs.swept(command.topic, command.head) as undefined;
      case "put":
        return this.#users.put(command);
      case "remove":
        return this.#users.remove(command.userId, command.version);
      case "take":
        return this.#outbox.take(command.ids, now);
      case "retry":
        return this.#outbox.retry(command) as undefined;
      case "postpone":
        return this.#outbox.postpone(command) as undefined;
      case "settle":
        return this.#outbox.settle(command.ids, command.end, command.note, command.handle, now) as undefined;
      case "cancel":
        return this.#outbox.cancel(command.match, command.note, now);
      case "decide":
        return this.#outbox.decide(command);
    }
  }
}
