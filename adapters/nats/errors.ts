import { PeykError } from "../../src/protocol/errors.ts";

/** Says that something may work when NATS answers again. */
export function unavailable(why: string, cause?: unknown): PeykError {
  const hint = "Try again when NATS answers. See whether its servers run, and a quorum of them if they are a cluster.";
  return new PeykError("unavailable", why, { retryable: true, hint, cause });
}

/** Says that the connection is closed for good. */
export function closedConnection(cause?: Error): PeykError {
  const hint = "Make one with maxReconnectAttempts: -1 (the client gives up after 10 by default), and a new engine with it.";
  return new PeykError("unavailable", "the connection to NATS is closed", { hint, cause });
}

/** Says that the storage was closed. */
export function closed(): PeykError {
  return new PeykError("closed", "the storage is closed", { hint: "Open the storage again." });
}
