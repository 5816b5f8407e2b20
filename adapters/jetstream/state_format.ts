import { createHash } from "node:crypto";

/** A document as the stream's leader has it. */
export interface Stored {
  readonly seq: number;
  readonly bytes: Uint8Array;
}

/** A document to write. */
export interface Draft {
  readonly subject: string;
  readonly bytes: Uint8Array;
  /** The sequence that this subject, or the other one that is named, must have now; 0: none. */
  readonly expected?: number;
  readonly expectedOf?: string;
  /** Seconds after which the server removes it. */
  readonly ttl?: number;
}

/**
 * What became of a write. Conflict: a document was not at its expected sequence, or is being written just now; nothing was stored.
 * Unsure: no answer came, or one that says nothing; it may be stored, or be stored later.
 */
export type Outcome = { kind: "stored"; seq: number } | { kind: "conflict" } | { kind: "unsure"; cause: unknown };

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function toBytes(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value));
}

export function fromBytes(bytes: Uint8Array): unknown {
  return JSON.parse(decoder.decode(bytes));
}

/** What stands for a text in subjects, which servers show in their logs: nobody can tell the text from it. */
export function digest(text: string): string {
  return createHash("sha256").update(text).digest("base64url").slice(0, 22);
}
