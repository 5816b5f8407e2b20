import { DatabaseSync, type StatementSync } from "node:sqlite";
import { classify, type Failure, toError } from "./failure.ts";
import { closedError } from "./writer.ts";

/**
 * The calling thread's own connection, for reading only. It sees whatever was answered before: an answer comes after the
 * commit, and each read begins where the file then is.
 */
export class Reader {
  readonly #path: string;
  readonly #db: DatabaseSync;
  /** Why nothing is read any more. */
  #lost: Failure | undefined;
  #closed = false;

  /** @throws {PeykError} */
  constructor(path: string) {
    this.#path = path;
    try {
      this.#db = new DatabaseSync(path, { readOnly: true });
      this.#db.prepare("PRAGMA busy_timeout = 100").all();
    } catch (error) {
      throw toError(classify(error, path, "storage-corrupt"));
    }
  }

  prepare(sql: string): StatementSync {
    return this.#db.prepare(sql);
  }

  /** Runs `read`; a damaged page or value rejects like any other error. */
  run<Result>(read: () => Result): Promise<Result> {
    try {
      return Promise.resolve(this.now(read));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** @throws {PeykError} */
  now<Result>(read: () => Result): Result {
    if (this.#closed) throw closedError();
    if (this.#lost !== undefined) throw toError(this.#lost);
    try {
      return read();
    } catch (error) {
      throw toError(classify(error, this.#path, "storage-corrupt"));
    }
  }

  /** Runs several reads on one state of the file. */
  together<Result>(read: () => Result): Promise<Result> {
    return this.run(() => {
      this.#db.exec("BEGIN");
      try {
        return read();
      } finally {
        this.#db.exec("COMMIT");
      }
    });
  }

  /** Refuses from now on: what is read from a file that is gone looks kept, and is not. */
  lose(why: Failure): void {
    this.#lost = why;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#db.close();
  }
}
