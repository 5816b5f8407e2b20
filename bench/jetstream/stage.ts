import { setTimeout as sleep } from "node:timers/promises";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { jetstream, type JetStreamOptions } from "../../adapters/jetstream/jetstream.ts";
import type { OpenStorage, Storage } from "../../src/ports/storage.ts";
import { systemClock, systemLogger, systemRandom } from "../../src/system.ts";
import { type NatsServer, startCluster, startServer } from "../../test/nats/servers.ts";
import type { Replicas } from "./plan.ts";

/** Longer than what was taken off a look-up stays. */
const LEAVING_MS = 1_500;

/** Private servers, and storages on them. */
export interface Stage {
  readonly replicas: Replicas;
  /** A storage on a connection of its own, as each node has one. Default name: "bench". */
  storage(options?: Pick<JetStreamOptions, "name" | "retention">): Promise<Storage>;
  /** The same, opened without an engine. */
  open(...options: Parameters<Stage["storage"]>): Promise<OpenStorage>;
  /** What a stream of the storage "bench" holds, as its leader reckons it, once what is on its way out has left. */
  stored(stream: "STATE" | "LOG_0"): Promise<Stored>;
  /** Resident memory of the server that has most, bytes. */
  rss(): Promise<number>;
  /** All servers go on with what they stored. Storages must be closed. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

export interface Stored {
  readonly bytes: number;
  readonly messages: number;
}

export async function startStage(replicas: Replicas): Promise<Stage> {
  const cluster = replicas === 1 ? undefined : await startCluster(replicas);
  const servers: readonly NatsServer[] = cluster?.servers ?? [await startServer({ jetstream: true })];
  const connections: NatsConnection[] = [];
  async function connection(): Promise<NatsConnection> {
    const made = await connect({ servers: servers.map(({ url }) => url) });
    connections.push(made);
    return made;
  }
  async function disconnect(): Promise<void> {
    await Promise.all(connections.splice(0).map((each) => each.close()));
  }
  const stage: Stage = {
    replicas,
    storage: async (options) => jetstream({ connection: await connection(), name: "bench", replicas, ...options }),
    async open(options) {
      const storage = await stage.storage(options);
      return await storage.open({ clock: systemClock(), logger: quiet, random: systemRandom() });
    },
    async stored(stream) {
      const asking = await connection();
      for (let last = -1;; await sleep(LEAVING_MS)) {
        const { state } = (await asking.request(`$JS.API.STREAM.INFO.bench_${stream}`)).json<{ state: Stored }>();
        if (state.messages === last) return state;
        last = state.messages;
      }
    },
    async rss() {
      const said = await Promise.all(servers.map((server) => server.ask<{ mem: number }>("varz")));
      return Math.max(...said.map((varz) => varz!.mem));
    },
    async restart() {
      await disconnect();
      await Promise.all(servers.map((server) => server.restart()));
      await cluster?.ready();
    },
    async close() {
      await disconnect();
      await Promise.all(servers.map((server) => server.close()));
    },
  };
  return stage;
}

/** That a storage opens is no news here. */
export const quiet = { ...systemLogger(), info() {} };
