import type { Api } from "./api.ts";
import { unwrap } from "./log_format.ts";
import { readAtLeader, type StoredMessage } from "./stored_message.ts";

/** How long a question of a reader is asked, before it is told that NATS is away. */
export const READ_MS = 10_000;

/** A topic's last entry, as somebody said. */
export interface Told {
  /** 0: none. */
  readonly offset: number;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

/** The last entry of a topic. The stream's leader answers this, no other replica: it knows every accepted one. */
export async function headOf(api: Api, stream: string, subject: string): Promise<Told> {
  const message = await readAtLeader(api, stream, { last_by_subj: subject }, READ_MS);
  if (message === undefined) return { offset: 0, expiresAt: 0 };
  return { offset: message.seq, expiresAt: unwrap(message.bytes)?.expiresAt ?? 0 };
}

/** The first entry of a topic from that sequence on, from the leader too. */
export function nextOf(api: Api, stream: string, subject: string, seq: number): Promise<StoredMessage | undefined> {
  return readAtLeader(api, stream, { next_by_subj: subject, seq }, READ_MS);
}
