/** The stable codes a {@link PeykError} carries. Codes are API: they are added, never renamed. */
export type ErrorCode =
  | "bad-name" // a userId, channel, deviceId or message id breaks the naming rules
  | "bad-message" // a message field has the wrong type or range
  | "bad-frame" // bytes that are not a frame of this protocol
  | "bad-order" // a frame that may not come now (before hello, a second hello, an ack of the unsent)
  | "bad-config" // an engine or adapter option makes no sense
  | "bad-url" // an address that is not http(s), or points where it must not
  | "too-large" // a frame, message or notification beyond the limit
  | "too-many" // a rate or count limit; retry after the given time
  | "unauthorized" // no valid token
  | "expired" // the token or the message ran out
  | "forbidden" // the policy does not allow this action
  | "not-subscribed" // a public channel the user is not subscribed to
  | "no-recipient" // a user nobody ever signed in as, or a private channel that its owner is not subscribed to
  | "no-provider" // a push target for a provider this engine does not have
  | "no-app" // a push target of an app that its provider is not set up for
  | "signed-out" // the session was signed out before the request took effect
  | "outcome-unknown" // a request that was said before, of which nobody knows any more whether it took effect
  | "replaced" // a newer connection took the session
  | "closed" // the engine, client or storage is closed
  | "draining" // the node is going away; try again elsewhere or later
  | "unavailable" // the storage or transport can not answer now
  | "storage-full" // ENOSPC, a full quota
  | "storage-locked" // another process holds the file
  | "storage-corrupt" // the file is no database, or a damaged one
  | "storage-readonly" // the file or folder can't be written
  | "storage-lost" // the file was deleted or replaced while it was open
  | "storage-version" // written by a newer version of this library, or by one too old to be read
  | "timeout" // no answer in time
  | "unsupported" // this runtime, transport or server can't do it
  | "internal"; // a defect of Peyk or of a callback

/** What may be said about an error beside its code. */
export interface ErrorDetails {
  /** Whether the same call may succeed later. Default false. */
  retryable?: boolean;
  /** Milliseconds to wait before the next try, where known. */
  retryAfterMs?: number;
  /** One sentence: what to do about it. */
  hint?: string;
  cause?: unknown;
}

/** Every error that Peyk raises. Decide by `code` and `retryable`, never by the message's text. */
export class PeykError extends Error {
  override readonly name = "PeykError";
  declare readonly code: ErrorCode;
  declare readonly retryable: boolean;
  declare readonly retryAfterMs: number | undefined;
  declare readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details);
    this.code = code;
    this.retryable = details.retryable ?? false;
    this.retryAfterMs = details.retryAfterMs;
    this.hint = details.hint;
  }
}
