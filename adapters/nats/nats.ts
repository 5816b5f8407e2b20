/**
 * Many nodes over core NATS, in real time only. For logs, catching up and pushes across nodes there is `peyk/jetstream`.
 *
 * @module
 */
import type { OpenStorage, Storage, StorageContext } from "../../src/ports/storage.ts";
import { PeykError } from "../../src/protocol/errors.ts";
import { checkKinds, type KindsOf } from "../../src/protocol/fields.ts";
import type { NatsLike } from "./connection.ts";
import { CoreTransport } from "./core_transport.ts";
import { closedConnection } from "./errors.ts";
import { checkPrefix } from "./subjects.ts";

export type { NatsLike, NatsMessage, NatsStatus, NatsStatuses, NatsSubscription } from "./connection.ts";

/** How nodes are joined. */
export interface NatsOptions {
  /**
   * From `connect` of `nats` 2.29 or `@nats-io/transport-node` 3.4; wrong credentials are that call's own error. It stays open
   * when the engine closes. Make it with `maxReconnectAttempts: -1` (the default gives up after 10, and then nothing is
   * delivered any more) and `pingInterval: 10_000` (by default a silent server is noticed after 4 minutes), without `noEcho`.
   */
  connection: NatsLike;
  /** Keeps this node's users and push targets: `memory()` or `sqlite()`. Of its logs nothing is used. */
  storage: Storage;
  /** What all subjects begin with; nodes with the same one form a cluster. Default "peyk". */
  prefix?: string;
}

const NATS_KINDS: KindsOf<NatsOptions> = { connection: "any", storage: "any", prefix: "text" };

/**
 * Carries messages between nodes over core NATS, any server version, and keeps none of them: they reach whoever is connected
 * to some node now. There are no positions, no catching up (`recovered: false`), no idempotency and no pushes. What is under
 * way when a server dies is lost. While the server is away up to 10,000 publishes (16 MiB) wait for it; more are refused with
 * `unavailable`. In a cluster of servers a new subscription is known to the others a moment after it is to its own.
 *
 * @throws {PeykError} `bad-config`; at open also `unavailable`, and what `storage` says
 * @example
 * ```ts
 * import { connect } from "@nats-io/transport-node";
 * import { createEngine, memory } from "peyk";
 * import { nats } from "peyk/nats";
 *
 * const connection = await connect({ servers: "127.0.0.1:4222", maxReconnectAttempts: -1, pingInterval: 10_000 });
 * const engine = await createEngine({
 *   authenticate: ({ token }) => token === "secret" ? { userId: "sara" } : null,
 *   storage: nats({ connection, storage: memory() }),
 * });
 * ```
 */
export function nats(options: NatsOptions): Storage {
  checkKinds(options, NATS_KINDS, "nats");
  const { connection, storage, prefix = "peyk" } = options;
  checkPrefix(prefix);
  if (typeof connection?.flush !== "function") {
    throw new PeykError("bad-config", "connection: not a NATS connection", {
      hint: "Give what connect() of nats or @nats-io/transport-node resolved to.",
    });
  }
  if (typeof storage?.open !== "function") {
    throw new PeykError("bad-config", "storage: none to keep users in", { hint: "Give memory() or sqlite()." });
  }
  return {
    async open(context: StorageContext): Promise<OpenStorage> {
      const { clock, logger, random } = context;
      if (connection.isClosed()) throw closedConnection();
      const transport = new CoreTransport({ connection, prefix, clock, logger });
      try {
        await transport.probe(random.id());
        const kept = await storage.open(context);
        const server = connection.info?.version;
        logger.info("core NATS: messages reach whoever is connected now, nothing is kept or pushed", { server, prefix });
        return {
          transport,
          users: kept.users,
          outbox: kept.outbox,
          heldBytes: () => kept.heldBytes?.() ?? 0,
          async close() {
            await transport.close();
            await kept.close();
          },
        };
      } catch (error) {
        await transport.close();
        throw error;
      }
    },
  };
}
