import { connect } from "node:net";
import process from "node:process";
import { now } from "../fan_out/clock.ts";
import { answerCommands } from "../fan_out/commands.ts";
import { Phase, type PhaseOptions } from "../fan_out/phase.ts";
import type { PhaseReport } from "../fan_out/receiver.ts";
import { quantile } from "../fan_out/statistics.ts";
import { PeykSubscriber } from "../fan_out/subscribers/peyk.ts";
import type { Subscriber } from "../fan_out/subscribers/subscriber.ts";
import { TallyWriter } from "../fan_out/tally.ts";
import type { PeerName } from "./plan.ts";
import { AckingSocketIoSubscriber } from "./subscribers/acking_socket_io.ts";
import { LivePeykSubscriber } from "./subscribers/live_peyk.ts";
import { NatsSubscriber } from "./subscribers/nats.ts";

// The process of all subscribers: raw sockets that count what comes in and say at the end whether it was everything.

/** While nodes flood, sockets are read in rounds this far apart: what came in between costs one read per socket. */
const ROUND_MS = 10;
/** Connections that are opened at the same time. */
const CONNECTING_AT_ONCE = 50;
const TEND_MS = 20;

/** What all of them have in common. */
type Receiving = Pick<Subscriber, "count" | "begin" | "upgrade" | "read" | "owesAck" | "tend">;

const [name, tallyPath] = process.argv.slice(2) as [PeerName, string];
const tally = new TallyWriter(tallyPath);
const subscribers: Receiving[] = [];
const runs = new Map();
const sizes = new Map<number, number>();
/** All sockets read into the same memory: each one's bytes are dealt with before the next one reads. */
const chunk = Buffer.allocUnsafe(256 * 1024);
const sleeper = new Int32Array(new SharedArrayBuffer(4));
let phase = new Phase({ payloadBytes: 1, burst: 1 }, 0);
let inRounds = false;
/** Subscribers that owe an ack, when last looked at. */
let unacked = 0;

setInterval(tend, TEND_MS);
answerCommands({ open, begin, end });

async function open({ port, count }: { port: number; count: number }): Promise<void> {
  for (let index = 0; index < count; index += CONNECTING_AT_ONCE) {
    const group = Math.min(CONNECTING_AT_ONCE, count - index);
    await Promise.all(Array.from({ length: group }, (_, nth) => openOne(port, index + nth)));
  }
}

function openOne(port: number, index: number): Promise<void> {
  return new Promise((ready) => {
    const socket = connect({
      port,
      host: "127.0.0.1",
      noDelay: true,
      onread: {
        buffer: chunk,
        callback(length) {
          subscriber.read(chunk, length);
          return true;
        },
      },
    });
    const subscriber: Receiving = name === "peyk-nats"
      ? new LivePeykSubscriber(index, sizes, socket, phase, ready)
      : name === "socket.io-redis"
      ? new AckingSocketIoSubscriber(socket, phase, ready)
      : name === "nats-bare"
      ? new NatsSubscriber(socket, phase, ready)
      : new PeykSubscriber(index, runs, socket, phase, ready);
    subscribers.push(subscriber);
    socket.on("connect", () => subscriber.upgrade(port));
    socket.on("close", () => {
      throw new Error(`subscriber ${index} lost its connection`);
    });
  });
}

function begin(options: PhaseOptions): void {
  phase = new Phase(options, subscribers.length);
  for (const subscriber of subscribers) subscriber.begin(phase);
  tally.write(0, 0);
  unacked = 0;
  inRounds = options.steady === undefined;
  if (inRounds) setImmediate(readRound, now());
}

/** Runs right after the sockets were read. Sleeps the rest of the round with the whole thread. */
function readRound(beganAt: number): void {
  if (!inRounds) return;
  tally.write(phase.total, unacked);
  const left = ROUND_MS - (now() - beganAt);
  if (left > 0) Atomics.wait(sleeper, 0, 0, left);
  setImmediate(readRound, now());
}

function tend(): void {
  const at = now();
  for (const subscriber of subscribers) subscriber.tend(at);
  unacked = subscribers.filter((subscriber) => subscriber.owesAck()).length;
  tally.write(phase.total, unacked);
}

function end(): PhaseReport {
  inRounds = false;
  const counts = subscribers.map((subscriber) => subscriber.count);
  const cpu = process.cpuUsage(phase.cpuAtFirst);
  const latencies = phase.latencies();
  return {
    deliveries: phase.total,
    fewest: Math.min(...counts),
    most: Math.max(...counts),
    verified: phase.verified,
    lastAt: phase.lastAt,
    utilisation: (cpu.user + cpu.system) / 1_000 / (phase.lastAt - phase.firstAt),
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    maxMs: quantile(latencies, 1),
  };
}
