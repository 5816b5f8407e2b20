import { connect as connectV3 } from "@nats-io/transport-node";
import { connect as connectV2 } from "nats";
import type { NatsLike } from "../../adapters/nats/nats.ts";

/** What the tests ask of a client. */
export interface ConnectOptions {
  servers: string;
  user?: string;
  pass?: string;
  noEcho?: boolean;
  reconnectTimeWait?: number;
  maxReconnectAttempts?: number;
}

export type Connection = NatsLike & { close(): Promise<void>; drain(): Promise<void> };

/** Both clients; that they are assigned here is the proof that their connections fit `NatsLike`. */
export const clients: Record<string, (options: ConnectOptions) => Promise<Connection>> = {
  "nats 2.29": connectV2,
  "transport-node 3.4": connectV3,
};
