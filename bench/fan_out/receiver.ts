import { connect, type Socket } from "node:net";
import process from "node:process";
import { now } from "./clock.ts";
import { answerCommands } from "./commands.ts";
import { Phase, type PhaseOptions } from "./phase.ts";
import { quantile } from "./statistics.ts";
import type { Subscriber } from "./subscribers/subscriber.ts";
import { TallyWriter } from "./tally.ts";

/** While a server floods, sockets are read in rounds this far apart: what came in between costs one read per socket. */
const ROUND_MS = 10;
/** Upgrades under way at the same time. */
const CONNECTING_AT_ONCE = 50;
const TEND_MS = 20;

/** What one phase brought. */
export interface PhaseReport {
  /** Messages over all subscribers. */
  deliveries: number;
  /** The fewest and the most that one subscriber got: both must be what was published. */
  fewest: number;
  most: number;
  /** Messages decoded and compared. */
  verified: number;
  lastAt: number;
  /** Share of one core that this process used while messages came in. */
  utilisation: number;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
}

/** One of the subscribers, whatever protocol it speaks. */
export type Receiving = Pick<Subscriber, "count" | "begin" | "upgrade" | "read" | "owesAck" | "tend">;

/** Makes the `index`-th subscriber out of a socket. It calls `ready` when what is published reaches it. */
export type NewSubscriber = (index: number, socket: Socket, phase: Phase, ready: () => void) => Receiving;

/**
 * Makes this the process of all subscribers: raw sockets that count what comes in and say at the end whether it was everything.
 * Answers `open`, `begin` and `end`.
 */
export function receive(tallyPath: string, subscriberOf: NewSubscriber): void {
  const tally = new TallyWriter(tallyPath);
  const subscribers: Receiving[] = [];
  /** All sockets read into the same memory: each one's bytes are dealt with before the next one reads. */
  const chunk = Buffer.allocUnsafe(256 * 1024);
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  let phase = new Phase({ payloadBytes: 1, burst: 1 }, 0);
  let inRounds = false;
  /** Subscribers that owe an ack, when last looked at. */
  let unacked = 0;

  setInterval(tend, TEND_MS);
  answerCommands({ open, begin, end });

  /** Opens subscribers until there are `to`. */
  async function open({ port, to }: { port: number; to: number }): Promise<void> {
    const from = subscribers.length;
    for (let index = from; index < to; index += CONNECTING_AT_ONCE) {
      const count = Math.min(CONNECTING_AT_ONCE, to - index);
      await Promise.all(Array.from({ length: count }, (_, nth) => openOne(port, index + nth)));
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
      const subscriber = subscriberOf(index, socket, phase, ready);
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
}
