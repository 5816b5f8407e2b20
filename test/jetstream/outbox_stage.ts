import { expect } from "vitest";
import { newRow as plainRow, user } from "../../adapters/conformance/records.ts";
import { openSubject } from "../../adapters/jetstream/outbox_row.ts";
import type { StateStream } from "../../adapters/jetstream/state_stream.ts";
import type { AddedRow, OutboxRow } from "../../src/ports/outbox.ts";
import type { StateNode, TestConnection } from "./state_stage.ts";

/** A push of Sara's that is due at once. */
export function newRow(id: string, fields: Partial<AddedRow> = {}): AddedRow {
  return { ...plainRow(id, { provider: "webpush" }), ...fields };
}

/** Adds rows, all of the first one's user, with a put. */
export async function add({ users }: StateNode, ...rows: AddedRow[]): Promise<void> {
  const userId = rows[0]!.userId;
  expect(await users.put(await users.get(userId) ?? user(userId), "both", rows)).toBeDefined();
}

export function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `row ${index}`);
}

/** Every row of a message: where it stands. */
export async function told({ outbox }: StateNode, messageId: string, what: (row: OutboxRow) => unknown): Promise<unknown[]> {
  return (await outbox.ofMessage(messageId)).map(what).sort();
}

/** Where an open row of Sara's stands in a cluster. */
export function subjectOf(name: string, id: string, userId = "sara"): string {
  return openSubject({ prefix: `${name}.st` } as StateStream, { userId, id });
}

/** Removes what a row that ended has left at its open place, as the server does after a while. */
export async function forgetEnd(connection: TestConnection, name: string, id: string, userId = "sara"): Promise<void> {
  const filter = new TextEncoder().encode(JSON.stringify({ filter: subjectOf(name, id, userId), keep: 0 }));
  await connection.request(`$JS.API.STREAM.PURGE.${name}_STATE`, filter);
}
