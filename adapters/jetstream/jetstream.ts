/**
 * Many nodes over NATS JetStream: topic logs, users and the outbox in streams, live entries and catching up on every node.
 *
 * @module
 */
import type { OpenStorage, Retention, Storage, StorageContext } from "../../src/ports/storage.ts";
import { PeykError } from "../../src/protocol/errors.ts";
import { checkKinds, type KindsOf } from "../../src/protocol/fields.ts";
import { Api } from "./api.ts";
import type { JetStreamConnection } from "./connection.ts";
import { type OpenLogs, openLogs } from "./open_logs.ts";
import { openState, type State } from "./state.ts";
import type { LogOptions } from "./streams.ts";

export type { NatsLike, NatsMessage, NatsStatus, NatsStatuses, NatsSubscription } from "../nats/connection.ts";
export type { JetStreamConnection, JetStreamMessage } from "./connection.ts";

/** How a storage on JetStream is made. */
export interface JetStreamOptions {
  /**
   * From `connect` of `nats` 2.29 or `@nats-io/transport-node` 3.4; wrong credentials are that call's own error. It stays open
   * when the engine closes. Make it with `maxReconnectAttempts: -1` (the default gives up after 10, and then nothing is
   * delivered any more), `reconnectTimeWait: 250` and `pingInterval: 5_000` (by default a silent server is noticed after
   * 4 minutes), without `noEcho`.
   */
  connection: JetStreamConnection;
  /**
   * What streams and subjects begin with; nodes with the same one form a cluster. Letters, digits, `_` and `-`, at most 32.
   * Default "peyk".
   */
  name?: string;
  /**
   * Servers that keep each stream: 1, 3 or 5. Default 1. With 3 an accepted publish survives the loss of any one server, with 5 of
   * any two.
   */
  replicas?: 1 | 3 | 5;
  /** Streams that the logs are spread over, 1 to 64. Default 1. It stays what it was when the streams were made. */
  partitions?: number;
  /** Room for the logs on each server, bytes. Publishes beyond it are refused with `storage-full`. Default: what the account has. */
  maxBytes?: number;
  /**
   * How the servers sync what they store, `sync_interval` in their configuration: "interval" is a time (2 minutes unless it is
   * set), "always" is `sync_interval: always`. Say "always" only where every server that may keep a replica has it: receipts then say
   * `durability: "disk"`. No server tells the account of an engine which it is; its monitoring port does
   * (`/varz`, `jetstream.config.sync_always`). Default "interval".
   */
  sync?: "interval" | "always";
  /** How long an idempotency key is remembered, milliseconds: 100 at least. Default 24 h. Every entry is kept until it expires. */
  retention?: Pick<Retention, "idempotencyMs">;
}

const JETSTREAM_KINDS: KindsOf<JetStreamOptions> = {
  ...{ connection: "any", name: "text", replicas: "number", partitions: "number", maxBytes: "number", sync: "text" },
  retention: "object",
};
const RETENTION_KINDS: KindsOf<NonNullable<JetStreamOptions["retention"]>> = { idempotencyMs: "number" };
const IDEMPOTENCY_MS = 24 * 3600_000;
const NAME = /^[A-Za-z0-9_-]{1,32}$/;

/**
 * Keeps everything in JetStream, on nats-server 2.12 or newer. Any number of engines with the same `name` form one.
 *
 * While NATS is away, up to 10,000 publishes (64 MiB) wait for it, for 30 seconds at most; more are refused with `unavailable`.
 * Receipts say `durability: "majority"`: stored by a majority of `replicas` servers (of 1: by that one), which answer first and sync
 * later. So it outlives the processes, also of the servers; what a power loss can cost is logged at open. With `sync: "always"` they
 * say `"disk"`.
 *
 * Streams that a newer version made, or an older one whose streams this one does not read, are refused with `storage-version`, and
 * nothing in them is changed.
 *
 * @throws {PeykError} `bad-config`; at open also `storage-version`, `storage-full`, `unavailable`
 * @example
 * ```ts
 * import { connect } from "@nats-io/transport-node";
 * import { createEngine } from "peyk";
 * import { jetstream } from "peyk/jetstream";
 *
 * const connection = await connect({ servers: "127.0.0.1:4222", maxReconnectAttempts: -1, pingInterval: 5_000 });
 * const engine = await createEngine({
 *   authenticate: ({ token }) => token === "secret" ? { userId: "sara" } : null,
 *   storage: jetstream({ connection, replicas: 3 }),
 * });
 * ```
 */
export function jetstream(options: JetStreamOptions): Storage {
  const checked = check(options);
  const { connection } = options;
  return {
    async open(context: StorageContext): Promise<OpenStorage> {
      const { name, replicas, partitions } = checked;
      const api = new Api(connection, context);
      let logs: OpenLogs | undefined;
      let state: State | undefined;
      async function close(): Promise<void> {
        // Work that is under way still reads users.
        await logs?.close();
        state?.close();
        await api.close();
      }
      try {
        logs = await openLogs(api, checked, context);
        state = await openState({ api, name, replicas, context });
      } catch (error) {
        await close();
        throw error;
      }
      context.logger.info(durabilityOf(checked), { server: connection.info?.version, name, partitions });
      const { transport, history, work, peers } = logs;
      const { users, outbox, heldBytes } = state;
      return { transport, history, work, users, outbox, peers, heldBytes, close };
    },
  };
}

function check(options: JetStreamOptions): LogOptions {
  checkKinds(options, JETSTREAM_KINDS, "jetstream");
  const { connection, name = "peyk", replicas = 1, partitions = 1, maxBytes = -1, sync = "interval", retention = {} } = options;
  checkKinds(retention, RETENTION_KINDS, "retention");
  const { idempotencyMs = IDEMPOTENCY_MS } = retention;
  if (typeof connection?.flush !== "function") {
    throw bad("connection: not a NATS connection", "Give what connect() of nats or @nats-io/transport-node resolved to.");
  }
  if (typeof name !== "string" || !NAME.test(name)) {
    throw bad("name: not the beginning of a stream's name", "Letters, digits, '_' and '-', at most 32 characters.");
  }
  if (![1, 3, 5].includes(replicas)) throw bad("replicas: not 1, 3 or 5", "Leave it out to get 1.");
  if (!Number.isSafeInteger(partitions) || partitions < 1 || partitions > 64) {
    throw bad("partitions: not a whole number from 1 to 64", "Leave it out to get 1.");
  }
  if (maxBytes !== -1 && !(Number.isSafeInteger(maxBytes) && maxBytes >= 1_000_000)) {
    throw bad("maxBytes: not a whole number from 1,000,000", "Leave it out to use what the account has.");
  }
  if (sync !== "interval" && sync !== "always") throw bad('sync: not "interval" or "always"', 'Leave it out to get "interval".');
  if (!(idempotencyMs >= 100)) throw bad("retention.idempotencyMs: not a number from 100", "Leave it out to get 24 hours.");
  return { name, replicas, partitions, maxBytes, idempotencyMs, durability: sync === "always" ? "disk" : "majority" };
}

function durabilityOf({ replicas, durability }: LogOptions): string {
  if (durability === "disk") {
    return `JetStream: what is accepted is synced to disk by ${
      replicas > 1 ? `a majority of ${replicas} servers` : "one server"
    }, ` +
      'if all servers have sync_interval: always, as the option `sync: "always"` says';
  }
  if (replicas > 1) {
    return `JetStream: what is accepted is stored by a majority of ${replicas} servers, which sync it later; a power loss, above all one ` +
      "of a majority at once, can cost what they wrote since their last sync (sync_interval, 2 minutes by default)";
  }
  return "JetStream: what is accepted is stored by one server, and survives its crash; a power loss can cost what it wrote since its last " +
    "sync (sync_interval, 2 minutes by default)";
}

function bad(message: string, hint: string): PeykError {
  return new PeykError("bad-config", message, { hint });
}
