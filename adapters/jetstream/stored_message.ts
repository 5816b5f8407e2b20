import { Buffer } from "node:buffer";
import { unavailable } from "../nats/errors.ts";
import { type Api, apiCode } from "./api.ts";

/** A message as its stream has it. */
export interface StoredMessage {
  readonly seq: number;
  readonly bytes: Uint8Array;
}

/** The last message on a subject, or the first one from a sequence on. */
export type WhichMessage = { readonly last_by_subj: string } | { readonly next_by_subj: string; readonly seq?: number };

/**
 * Reads a message at the stream's leader, which alone knows every accepted one.
 *
 * @param ms how long to go on asking
 * @returns undefined: there is none
 * @throws {PeykError} `unavailable`, `closed`
 */
export async function readAtLeader(
  api: Api,
  stream: string,
  which: WhichMessage,
  ms?: number,
): Promise<StoredMessage | undefined> {
  const answer = await api.ask<{ message: { seq: number; data?: string } }>(`STREAM.MSG.GET.${stream}`, which, ms);
  if (answer.error?.err_code === apiCode.noMessage) return undefined;
  if (answer.error !== undefined) throw unavailable(`NATS says of the stream ${stream}: ${answer.error.description}`);
  const { seq, data = "" } = answer.message;
  return { seq, bytes: Buffer.from(data, "base64") };
}
