import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { jetstream as bareJetStream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { jetstream } from "../../adapters/jetstream/jetstream.ts";
import { createEngine } from "../../mod.ts";
import type { Storage } from "../../src/ports/storage.ts";
import { systemClock, systemLogger, systemRandom } from "../../src/system.ts";
import { answerCommands } from "../fan_out/commands.ts";
import { payloadText } from "../fan_out/payload.ts";
import { quantile } from "../fan_out/statistics.ts";
import type { PublisherName } from "./durable.ts";

// A process that publishes durably: so many publishers, each publishing again as soon as it was answered.

export interface PublishingOptions extends LogOptions {
  publisher: PublisherName;
  /** Publishers, which is also how many publishes are under way. */
  window: number;
}

interface LogOptions {
  name: string;
  replicas: 1 | 3;
}

export interface Published {
  count: number;
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  /** CPU time of this process. */
  cpuMicrosPerPublish: number;
}

const LEAD_IN_MS = 300;
const PAYLOAD_BYTES = 64;
/** Private topics that are published to in turn. */
const TOPICS = 1_000;
const TTL_SECONDS = 3_600;
const DAY_NANOS = 86_400_000_000_000;

const url = process.argv[2]!;
const random = systemRandom();
const latencies: number[] = [];
let failure: unknown;

answerCommands({ begin, measure, exactly });

/** Starts publishing, and lets it settle. */
async function begin({ publisher, window, ...log }: PublishingOptions): Promise<void> {
  const publish = await ways[publisher](log);
  let sequence = 0;
  async function go(): Promise<void> {
    for (;;) {
      const started = performance.now();
      await publish(sequence++);
      latencies.push(performance.now() - started);
    }
  }
  for (let index = 0; index < window; index++) go().catch((error) => failure = error);
  await sleep(LEAD_IN_MS);
}

/** What comes through from here on. */
async function measure({ ms }: { ms: number }): Promise<Published> {
  latencies.length = 0;
  const [before, started] = [process.cpuUsage(), performance.now()];
  await sleep(ms);
  const [{ user, system }, took] = [process.cpuUsage(before), performance.now() - started];
  const sorted = latencies.splice(0).sort((a, b) => a - b);
  if (failure !== undefined) throw failure;
  return {
    count: sorted.length,
    perSecond: sorted.length / took * 1_000,
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
    cpuMicrosPerPublish: (user + system) / sorted.length,
  };
}

/** Publishes so many, with that many under way at a time. */
async function exactly({ publisher, window, count, ...log }: PublishingOptions & { count: number }): Promise<void> {
  const publish = await ways[publisher](log);
  let sequence = 0;
  await Promise.all(Array.from({ length: window }, async () => {
    while (sequence < count) await publish(sequence++);
  }));
}

const ways: Record<PublisherName, (log: LogOptions) => Promise<(sequence: number) => Promise<unknown>>> = {
  /** What an application calls. The engine also sweeps: it finds out for each topic that there is no device to push to. */
  "peyk engine": async (log) => {
    const engine = await createEngine({ insecure: true, storage: await storageOf(log) });
    return (sequence) => engine.publish({ to: `user ${sequence % TOPICS}`, data: textOf(sequence), ttl: TTL_SECONDS });
  },
  /** The adapter alone, as `bench/sqlite.ts` measures sqlite. */
  "peyk storage": async (log) => {
    const storage = await storageOf(log);
    const { transport } = await storage.open({ clock: systemClock(), logger: systemLogger(), random });
    return (sequence) => {
      const expiresAt = Date.now() + TTL_SECONDS * 1_000;
      return transport.publish(`user ${sequence % TOPICS}/default`, bytesOf(sequence), { key: random.id(), expiresAt });
    };
  },
  /** No id, no time to live: the least that JetStream can be asked for. */
  "bare client": async (log) => {
    const js = await streamOf(log);
    return (sequence) => js.publish(`${log.name}.${sequence % TOPICS}`, bytesOf(sequence));
  },
  /** With an id to be idempotent by and a time to live, as Peyk's entries have them. */
  "bare client, same headers": withHeaders,
  /** And with somebody who reads what is stored, as each of Peyk's nodes does. */
  "the same, tailed": async (log) => {
    const publish = await withHeaders(log);
    await tail(log.name);
    return publish;
  },
};

async function withHeaders(log: LogOptions): Promise<(sequence: number) => Promise<unknown>> {
  const js = await streamOf(log);
  const ttl = `${TTL_SECONDS}s`;
  return (sequence) => js.publish(`${log.name}.${sequence % TOPICS}`, bytesOf(sequence), { msgID: random.id(), ttl });
}

async function storageOf(log: LogOptions): Promise<Storage> {
  return jetstream({ connection: await connect({ servers: url.split(",") }), ...log });
}

/** A stream like those of Peyk. */
async function streamOf({ name, replicas }: LogOptions): Promise<ReturnType<typeof bareJetStream>> {
  const connection = await connect({ servers: url.split(",") });
  const manager = await jetstreamManager(connection);
  await manager.streams.add({
    name,
    subjects: [`${name}.*`],
    num_replicas: replicas,
    allow_msg_ttl: true,
    allow_direct: true,
    duplicate_window: DAY_NANOS,
  });
  return bareJetStream(connection);
}

/** The client's own ordered consumer. */
async function tail(stream: string): Promise<void> {
  const connection = await connect({ servers: url.split(",") });
  const consumer = await bareJetStream(connection).consumers.get(stream);
  await consumer.consume({ callback() {} });
}

function textOf(sequence: number): string {
  return payloadText(sequence, PAYLOAD_BYTES);
}

function bytesOf(sequence: number): Uint8Array {
  return Buffer.from(textOf(sequence));
}
