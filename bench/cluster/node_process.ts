import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { now } from "../fan_out/clock.ts";
import { answerCommands } from "../fan_out/commands.ts";
import { payloadText } from "../fan_out/payload.ts";
import type { Peer } from "../fan_out/peers/peer.ts";
import { TallyReader } from "../fan_out/tally.ts";
import type { PeerName } from "./plan.ts";

// The process of one node: started fresh, publishes when it is told to, reads its own CPU time.

/** Without anything arriving for so long, something is lost, or the receiver gave up: it says which. */
const GIVE_UP_MS = 5_000;

export interface FloodOptions {
  payloadBytes: number;
  burst: number;
  subscribers: number;
  /** Messages of the phase that were published before. */
  from: number;
  /** Messages that may be under way to a subscriber. */
  window: number;
  /** How long to wait before looking again whether they have arrived. */
  lookMs: number;
  ms: number;
  /** Bursts that are published at least, however long they take. */
  burstsAtLeast: number;
}

export interface SteadyOptions {
  payloadBytes: number;
  burst: number;
  subscribers: number;
  /** When the first burst is due. */
  beginAt: number;
  intervalMs: number;
  bursts: number;
}

const [name, url, tallyPath] = process.argv.slice(2) as [PeerName, string, string];
const node = await start(name);
const tally = new TallyReader(tallyPath);

answerCommands({
  port: () => node.port,
  admit: ({ from, to }: { from: number; to: number }) => node.admit?.(from, to),
  cpuMicros,
  flood,
  steady,
});

/** Each peer loads what it needs and nothing of the others. */
async function start(name: PeerName): Promise<Peer> {
  switch (name) {
    case "peyk-nats":
      return await (await import("./nodes/peyk.ts")).startCore(url);
    case "peyk-jetstream":
      return await (await import("./nodes/peyk.ts")).startJetStream(url);
    case "peyk-single":
      return await (await import("./nodes/peyk.ts")).startSingle();
    case "socket.io-redis":
      return await (await import("./nodes/socket_io.ts")).startSocketIo(url);
    case "nats-bare":
      return await (await import("./nodes/nats_bare.ts")).startBareNats(url);
  }
}

function cpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/**
 * One burst per turn of the event loop, as long as no subscriber has more than the window under way. Ends when all has arrived.
 * @returns messages of the phase so far
 */
async function flood(options: FloodOptions): Promise<number> {
  const { payloadBytes, burst, subscribers, from, window, lookMs, ms, burstsAtLeast } = options;
  const end = now() + ms;
  let giveUpAt = now() + GIVE_UP_MS;
  let published = from;
  let taken = from;
  await new Promise<void>((done) => {
    function tick(): void {
      if (now() >= end && published - from >= burstsAtLeast * burst) return done();
      if (published + burst - taken > window / 2) taken = tally.read().received / subscribers;
      if (published + burst - taken > window) {
        if (now() > giveUpAt) done();
        else setTimeout(tick, lookMs);
        return;
      }
      giveUpAt = now() + GIVE_UP_MS;
      node.broadcast(burstOf(published, burst, payloadBytes));
      published += burst;
      setImmediate(tick);
    }
    tick();
  });
  await settled(published * subscribers);
  return published;
}

/** A burst at each due time, however late the one before it was. @returns messages */
async function steady({ payloadBytes, burst, subscribers, beginAt, intervalMs, bursts }: SteadyOptions): Promise<number> {
  for (let index = 0; index < bursts; index++) {
    await until(beginAt + index * intervalMs);
    node.broadcast(burstOf(index * burst, burst, payloadBytes));
  }
  await settled(bursts * burst * subscribers);
  return bursts * burst;
}

function burstOf(first: number, burst: number, payloadBytes: number): string[] {
  return Array.from({ length: burst }, (_, index) => payloadText(first + index, payloadBytes));
}

/** Timers come up to a millisecond or two late: the rest is spent turning the event loop. */
async function until(due: number): Promise<void> {
  const ahead = due - now() - 2;
  if (ahead > 0) await sleep(ahead);
  do await new Promise(setImmediate); while (now() < due);
}

/** The subscribers have everything, and whoever owes an ack has sent it. */
async function settled(deliveries: number): Promise<void> {
  const giveUpAt = now() + GIVE_UP_MS;
  for (;;) {
    const { received, unacked } = tally.read();
    if (received >= deliveries && unacked === 0) return;
    if (now() > giveUpAt) return;
    await sleep(10);
  }
}
