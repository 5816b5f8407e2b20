import type { Clock } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";
import type { Outbox, OutboxRow } from "../ports/outbox.ts";
import { type Backlog, WAITS_FOR_SERVICE } from "./backlog.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { isPatient, type Pace, WAITS_FOR_TURN } from "./pace.ts";
import { NOT_ASKED } from "./pending.ts";
import { type Service, SERVICE_RESTS } from "./resting_services.ts";

/** What putting off works with. */
export interface PutOffParts {
  backlog: Backlog;
  dispatcher: Dispatcher;
  pace: Pace;
  outbox: Outbox;
  clock: Clock;
  logger: Logger;
}

/** Rows that can't leave yet are due later, and it is told why. */
export class PutOff {
  readonly #parts: PutOffParts;

  constructor(parts: PutOffParts) {
    this.#parts = parts;
  }

  /**
   * These wait for their service.
   * @param serviceOf that of a row whose target does not wait for it yet
   */
  async forService(rows: readonly OutboxRow[], serviceOf: (row: OutboxRow) => Service): Promise<void> {
    const { backlog, dispatcher, outbox } = this.#parts;
    const byTime = Map.groupBy(rows, (row) => backlog.add(serviceOf(row), row));
    for (const [until, together] of byTime) {
      await outbox.postpone(together.map(({ id }) => id), until, WAITS_FOR_SERVICE);
      // Of one that was asked for it is told already why it is tried again.
      for (const row of together) {
        if (row.attempts === 0 && row.note !== WAITS_FOR_SERVICE) dispatcher.held(row, SERVICE_RESTS, until);
      }
    }
  }

  /**
   * What is due for a target that is paced waits for the next push that may leave for it.
   * @returns the rows
   */
  async forTurn(targetId: string): Promise<OutboxRow[]> {
    const { clock, dispatcher, outbox, pace } = this.#parts;
    const now = clock.now();
    const rows = (await outbox.waiting([targetId])).filter((row) => row.dueAt <= now && isPatient(row));
    const until = pace.nextAt(targetId);
    if (rows.length > 0) await outbox.postpone(rows.map(({ id }) => id), until, NOT_ASKED + WAITS_FOR_TURN);
    for (const row of rows) dispatcher.held(row, WAITS_FOR_TURN, until);
    return rows;
  }

  /** These could not be taken or looked at: they are tried again after so many milliseconds. */
  async forFailure(rows: readonly OutboxRow[], ms: number, error: unknown): Promise<void> {
    const { clock, dispatcher, logger, outbox } = this.#parts;
    logger.error("a push could not be taken or looked at, it is tried again", { error });
    await dispatcher.insist(() =>
      outbox.retry(rows, clock.now() + ms, `${NOT_ASKED}it could not be looked at, it is tried again`)
    );
  }
}
