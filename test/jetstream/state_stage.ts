import { connect as connect3 } from "@nats-io/transport-node";
import { connect as connect2 } from "nats";
import { afterAll, beforeAll } from "vitest";
import { createManualClock, type ManualClock } from "../../adapters/conformance/conformance.ts";
import { user } from "../../adapters/conformance/records.ts";
import { Api } from "../../adapters/jetstream/api.ts";
import type { JetStreamConnection, JetStreamMessage } from "../../adapters/jetstream/jetstream.ts";
import { openState, type State, type StateOptions } from "../../adapters/jetstream/state.ts";
import { PeykError } from "../../src/protocol/errors.ts";
import { memory } from "../../src/memory/memory.ts";
import type { Clock } from "../../src/ports/clock.ts";
import type { Storage, StorageContext } from "../../src/ports/storage.ts";
import type { UserRecord } from "../../src/ports/users.ts";
import { type NatsServer, startServer } from "../nats/servers.ts";

/** A connection of which the tests use more than an engine does. */
export interface TestConnection extends JetStreamConnection {
  request(
    subject: string,
    payload?: Uint8Array,
    options?: { timeout: number; headers?: never },
  ): Promise<{ readonly data: Uint8Array }>;
  close(): Promise<void>;
}

/** Both clients that people bring. */
export const clients: Readonly<Record<string, (servers: string | string[]) => Promise<TestConnection>>> = {
  "@nats-io/transport-node": (servers) =>
    connect3({ servers, maxReconnectAttempts: -1, reconnectTimeWait: 100, pingInterval: 2_000 }),
  "nats": (servers) => connect2({ servers, maxReconnectAttempts: -1, reconnectTimeWait: 100, pingInterval: 2_000 }),
};

export const connect = clients["@nats-io/transport-node"]!;

/** What all tests of a file use. */
export interface Shared {
  readonly server: NatsServer;
  /** One of each client. */
  readonly connections: readonly TestConnection[];
}

/** Starts a server before the first test of a file, and ends it after the last. */
export function shareServer(): Shared {
  const connections: TestConnection[] = [];
  let server: NatsServer;
  beforeAll(async () => {
    server = await startServer({ jetstream: true });
    connections.push(...await Promise.all(Object.values(clients).map((each) => each(server.url))));
  });
  afterAll(async () => {
    await Promise.all(connections.map((connection) => connection.close()));
    await server.close();
  });
  return {
    connections,
    get server() {
      return server;
    },
  };
}

/** What an engine would lend; its clock stands still. */
export function createContext(clock: Clock = createManualClock()): StorageContext {
  return {
    clock,
    logger: { info() {}, warn() {}, error() {} },
    random: { id: () => crypto.randomUUID(), fraction: Math.random },
  };
}

/** A node's state, and how it leaves. */
export interface StateNode extends Pick<State, "users" | "outbox" | "heldBytes"> {
  close(): Promise<void>;
}

/** Opens a state with an API of its own. Its servers are waited for in their time, whatever the node's clock says. */
export async function openNode(
  { connection, ...options }: Omit<StateOptions, "api"> & { connection: JetStreamConnection },
): Promise<StateNode> {
  const api = new Api(connection, { ...options.context, clock: createRunningClock() });
  try {
    const { users, outbox, heldBytes, close } = await openState({ api, ...options });
    return {
      users,
      outbox,
      heldBytes,
      async close() {
        close();
        await api.close();
      },
    };
  } catch (error) {
    await api.close();
    throw error;
  }
}

/** A storage whose users and outbox are the ones to test. */
export function stateStorage(connection: JetStreamConnection, name: string): Storage {
  return {
    async open(context) {
      const storage = await memory().open(context);
      const state = await openNode({ connection, name, replicas: 1, context });
      const close = async (): Promise<void> => {
        await state.close();
        await storage.close();
      };
      // Logs are somebody else's; users and outbox survive.
      return { ...storage, transport: Object.assign(storage.transport, { durable: true }), ...state, close };
    },
  };
}

let names = 0;

/** A name that no other cluster on the server has. */
export function freshName(): string {
  return `t${++names}`;
}

/** Several nodes of one cluster, each with a clock of its own. */
export async function openNodes(
  count: number,
  connections: readonly JetStreamConnection[],
  { name = freshName(), replicas = 1 }: { name?: string; replicas?: number } = {},
): Promise<(StateNode & { clock: ManualClock })[]> {
  const nodes = [];
  for (let index = 0; index < count; index++) {
    const clock = createManualClock();
    const context = createContext(clock);
    const connection = connections[index % connections.length]!;
    nodes.push({ ...await openNode({ connection, name, replicas, context }), clock });
  }
  return nodes;
}

/** A clock that runs. */
export function createRunningClock(): Clock {
  return {
    now: () => Date.now(),
    elapsed: () => performance.now(),
    setTimeout: (task, ms) => setTimeout(task, ms) as unknown as object,
    clearTimeout: (timer) => clearTimeout(timer as number),
    defer: (task) => void setTimeout(task, 0),
  };
}

/** A connection that does some things otherwise. */
export function altered(connection: JetStreamConnection, otherwise: Partial<JetStreamConnection>): JetStreamConnection {
  return new Proxy(connection, {
    get(target, key) {
      const value = Reflect.get(key in otherwise ? otherwise : target, key);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** A connection whose questions are answered by `request`. When that throws, what comes is nothing that anybody can read. */
export function answering(connection: TestConnection, request: TestConnection["request"]): JetStreamConnection {
  const inboxes = new Map<string, (error: null, message: JetStreamMessage) => void>();
  return altered(connection, {
    subscribe(subject, options) {
      if (subject.endsWith(".*")) inboxes.set(subject.slice(0, -1), options.callback);
      return connection.subscribe(subject, options);
    },
    publish(subject, payload, options) {
      const reply = options?.reply;
      if (reply === undefined) return connection.publish(subject, payload, options);
      const inbox = inboxes.get(reply.slice(0, reply.lastIndexOf(".") + 1))!;
      const answer = (data: Uint8Array): void => inbox(null, { subject: reply, data });
      // Longer than anybody waits, so that whoever is late was let down by the one who asks.
      const { headers } = options as { headers?: never };
      request(subject, payload, { timeout: 30_000, ...(headers === undefined ? {} : { headers }) }).then(
        ({ data }) => answer(data),
        () => answer(new TextEncoder().encode("lost")),
      );
    },
  });
}

/** A connection on which requests and answers get lost, as often as is said. */
export function lossy(
  connection: TestConnection,
  lost: { request?: (subject: string) => boolean; answer?: (subject: string) => boolean },
): JetStreamConnection {
  return answering(connection, async (...what) => {
    if (lost.request?.(what[0])) throw new Error("lost");
    const answer = await connection.request(...what);
    if (lost.answer?.(what[0])) throw new Error("lost");
    return answer;
  });
}

/** A connection that delivers only what it is told to. */
export function deafened(connection: JetStreamConnection, hears: (message: JetStreamMessage) => boolean): JetStreamConnection {
  return altered(connection, {
    subscribe: (subject, { callback }) =>
      connection.subscribe(subject, {
        callback: (error, message) => {
          if (hears(message)) callback(error, message);
        },
      }),
  });
}

/** Waits for what comes by itself. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const end = performance.now() + 30_000; !(await condition()); await new Promise((resolve) => setTimeout(resolve, 2))) {
    if (performance.now() > end) throw new Error(`never happened: ${what}`);
  }
}

/**
 * Counts a user up, by reading and putting, and tells how it went.
 * @param part where: the devices' `seenAt` with both parts, or how far the positions are read
 * @returns how often a put said that it is stored, and how often it could not tell
 */
export async function countUp(
  { users }: StateNode,
  userId: string,
  times: number,
  part: "both" | "positions" = "both",
): Promise<{ stored: number; unsure: number }> {
  let stored = 0;
  let unsure = 0;
  while (stored + unsure < times) {
    try {
      const record = await users.get(userId);
      if (record === undefined || part === "both") {
        const next = record === undefined ? user(userId) : { ...record, seenAt: record.seenAt + 1 };
        if (await users.put(next, "both") !== undefined) stored++;
        continue;
      }
      const handled = { [COUNTED]: { epoch: 1, read: countOf(record) + 1, ranges: [] } };
      if (await users.put({ ...record, positions: { ...record.positions, handled } }, "positions") !== undefined) stored++;
    } catch (error) {
      if (!(error instanceof PeykError) || error.code !== "unavailable" || !error.retryable) throw error;
      unsure++;
    }
  }
  return { stored, unsure };
}

const COUNTED = "*/counted";

/** How far a user's positions were counted up. */
export function countOf(record: UserRecord | undefined): number {
  return record?.positions.handled[COUNTED]?.read ?? 0;
}
