import { connect as connectV3 } from "@nats-io/transport-node";
import { connect as connectV2 } from "nats";
import { Api } from "../../adapters/jetstream/api.ts";
import type { JetStreamConnection } from "../../adapters/jetstream/jetstream.ts";
import { type OpenLogs, openLogs } from "../../adapters/jetstream/open_logs.ts";
import { systemClock, systemRandom } from "../../src/system.ts";
import type { StorageContext } from "../../src/ports/storage.ts";
import type { Entry, TopicListener } from "../../src/ports/transport.ts";
import type { TestConnection } from "./state_stage.ts";

export interface Credentials {
  user?: string;
  pass?: string;
}

/** Both lines of the client, as they are to be connected. */
export const clients: Readonly<Record<string, (servers: string | string[], who?: Credentials) => Promise<TestConnection>>> = {
  "nats 2.29": (servers, who = {}) => connectV2({ servers, ...settings, ...who }),
  "transport-node 3.4": (servers, who = {}) => connectV3({ servers, ...settings, ...who }),
};

const settings = { maxReconnectAttempts: -1, reconnectTimeWait: 100, pingInterval: 1_000, timeout: 2_000 };

export interface Line {
  readonly level: "info" | "warn" | "error";
  readonly message: string;
}

/** What an engine lends a storage, with real time. */
export function context(lines: Line[] = []): StorageContext {
  const log = (level: Line["level"]) => (message: string): void => void lines.push({ level, message });
  return {
    clock: systemClock(),
    logger: { info: log("info"), warn: log("warn"), error: log("error") },
    random: systemRandom(),
  };
}

/** A node's logs, and what they wrote about themselves. */
export interface NodeOfLogs extends OpenLogs, AsyncDisposable {
  readonly connection: TestConnection;
  readonly lines: Line[];
}

export async function startNode(
  servers: string | string[],
  options: { name?: string; replicas?: number; partitions?: number; maxBytes?: number } = {},
  client: string = "transport-node 3.4",
  spoil: (connection: TestConnection) => JetStreamConnection = (connection) => connection,
): Promise<NodeOfLogs> {
  const connection = await clients[client]!(servers);
  const lines: Line[] = [];
  const defaults = {
    name: "peyk",
    replicas: 1,
    partitions: 1,
    maxBytes: -1,
    idempotencyMs: 3600_000,
    durability: "majority",
  } as const;
  const lent = context(lines);
  const api = new Api(spoil(connection), lent);
  const logs = await openLogs(api, { ...defaults, ...options }, lent).catch(async (error) => {
    await api.close();
    await connection.close();
    throw error;
  });
  const close = async (): Promise<void> => {
    await logs.close();
    await api.close();
  };
  return {
    ...logs,
    connection,
    lines,
    close,
    async [Symbol.asyncDispose]() {
      await close();
      await connection.close();
    },
  };
}

/** A listener that remembers. */
export interface Ear extends TopicListener {
  readonly entries: Entry[];
  readonly texts: string[];
  gaps: number;
}

export function createEar(): Ear {
  const entries: Entry[] = [];
  const texts: string[] = [];
  return {
    entries,
    texts,
    gaps: 0,
    entry(entry) {
      entries.push(entry);
      texts.push(new TextDecoder().decode(entry.bytes));
    },
    gap() {
      this.gaps++;
    },
  };
}

export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!await condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

const encoder = new TextEncoder();

export function publish({ transport }: OpenLogs, topic: string, text: string, key: string = text, ttlMs = 3600_000) {
  return transport.publish(topic, encoder.encode(text), { key, expiresAt: Date.now() + ttlMs });
}
