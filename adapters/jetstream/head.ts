import { unavailable } from "../nats/errors.ts";
import { type Answer, type Api, apiCode } from "./api.ts";
import { unwrap } from "./log_format.ts";

/** How long a question of a reader is asked, before it is told that NATS is away. */
export const READ_MS = 10_000;

/** A topic's last entry, as somebody said. */
export interface Told {
  /** 0: none. */
  readonly offset: number;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

/** A message as JetStream's API gives it. */
export interface StoredMessage {
  readonly seq: number;
  /** Base64. */
  readonly data?: string;
}

/** The last entry of a topic. The stream's leader answers this, no other replica: it knows every accepted one. */
export async function headOf(api: Api, stream: string, subject: string): Promise<Told> {
  const message = messageOf(stream, await api.ask(`STREAM.MSG.GET.${stream}`, { last_by_subj: subject }, READ_MS));
  if (message === undefined) return { offset: 0, expiresAt: 0 };
  return { offset: message.seq, expiresAt: unwrap(bytesOf(message))?.expiresAt ?? 0 };
}

/** The first entry of a topic from that sequence on, from the leader too. */
export async function nextOf(api: Api, stream: string, subject: string, seq: number): Promise<StoredMessage | undefined> {
  return messageOf(stream, await api.ask(`STREAM.MSG.GET.${stream}`, { next_by_subj: subject, seq }, READ_MS));
}

export function bytesOf({ data = "" }: StoredMessage): Uint8Array {
  return Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
}

function messageOf(stream: string, answer: Answer<{ message: StoredMessage }>): StoredMessage | undefined {
  if (answer.error === undefined) return answer.message;
  if (answer.error.err_code === apiCode.noMessage) return undefined;
  throw unavailable(`NATS says of the stream ${stream}: ${answer.error.description}`);
}
