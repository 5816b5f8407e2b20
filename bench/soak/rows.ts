import { DatabaseSync } from "node:sqlite";

/** What is counted in the file. */
const TABLES = ["topic", "entry", "user", "push"] as const;

/** Counts the rows of a sqlite file that an engine has open. */
export class Rows {
  readonly #db: DatabaseSync;

  constructor(file: string) {
    this.#db = new DatabaseSync(file, { readOnly: true });
  }

  count(): Record<string, number> {
    return Object.fromEntries(TABLES.map((table) => {
      const { n } = this.#db.prepare(`SELECT count(*) AS n FROM ${table}`).get()!;
      return [table, Number(n)];
    }));
  }

  close(): void {
    this.#db.close();
  }
}
