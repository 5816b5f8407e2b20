import type { Anew } from "../delivery/elsewhere.ts";
import type { LoggedRef } from "../protocol/message_ref.ts";
import type { SessionState } from "../session/step.ts";

/** What nodes ask each other. The answer's shape follows from the kind. */
export type Question =
  /** A newer attachment has this session. */
  | { kind: "takeOver"; userId: string; device: string; generation: number }
  /** The user's record was changed. */
  | { kind: "follow"; userId: string; anew?: Anew }
  /** The user was signed out, on all devices or on this one. */
  | { kind: "signedOut"; userId: string; device?: string }
  /** Sessions were taken from this node, some of which it was not told of. The answer says that it looks. */
  | { kind: "lost" }
  /** This target has another token. No answer is waited for. */
  | { kind: "replaced"; provider: string; targetId: string; userId: string }
  /** Is the person at another device than this one? Answer: boolean. */
  | { kind: "attended"; userId: string; device: string }
  /** Answer: {@link HeldSession}s. */
  | { kind: "sessions"; userId: string }
  /** Answer: the Explanations of this message, each of which may say a part. */
  | { kind: "explain"; message: LoggedRef };

/** A session as the node that holds it knows it. */
export interface HeldSession {
  readonly device: string;
  readonly state: SessionState;
  readonly attended: boolean;
  readonly unseen: number;
}

/** Where one node is asked. */
export function addressOf(node: string): string {
  return `node ${node}`;
}

/** Where all nodes are asked. */
export const ALL_NODES = "nodes";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function encodeTalk(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value));
}

/** @throws {SyntaxError} for what no node says */
export function decodeTalk(bytes: Uint8Array): unknown {
  return JSON.parse(decoder.decode(bytes));
}
