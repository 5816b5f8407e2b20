import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { now } from "./clock.ts";
import { answerCommands } from "./commands.ts";
import { payloadText } from "./payload.ts";
import type { Peer } from "./peers/peer.ts";
import type { PeerName } from "./plan.ts";
import { TallyReader } from "./tally.ts";

// The process of one peer: started fresh, publishes what it is told to, reads its own CPU time and memory.

/** Bytes of payload per subscriber that may be under way: less than the kernel takes, so that no peer queues in its own memory. */
const WINDOW_BYTES = 64 * 1024;
const WINDOW_MESSAGES = 256;

export interface FloodOptions {
  payloadBytes: number;
  burst: number;
  subscribers: number;
  leadInMs: number;
  ms: number;
}

/** Bursts that are counted at least, however long they take. */
const BURSTS_AT_LEAST = 8;

/** What is counted begins after the lead-in; `published` is everything. */
export interface Flooded {
  published: number;
  counted: number;
  cpuMicros: number;
  /** When the counted part began. */
  beganAt: number;
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

const [name, tallyPath] = process.argv.slice(2) as [PeerName, string];
const peer = await start(name);
const tally = new TallyReader(tallyPath);

answerCommands({
  port: () => peer.port,
  admit: ({ from, to }: { from: number; to: number }) => peer.admit?.(from, to),
  rss,
  flood,
  steady,
});

/** Each peer loads what it needs and nothing of the others. */
async function start(name: PeerName): Promise<Peer> {
  switch (name) {
    case "peyk":
      return (await import("./peers/peyk.ts")).startPeyk();
    case "ws":
      return (await import("./peers/ws.ts")).startWs();
    case "ws-batched":
      return (await import("./peers/ws.ts")).startWsBatched();
    case "bare":
      return (await import("./peers/bare.ts")).startBare();
    case "socket.io":
      return (await import("./peers/socket_io.ts")).startSocketIo();
  }
}

/** Resident memory once the garbage is out. */
async function rss(): Promise<number> {
  const { gc } = globalThis as { gc?: () => void };
  if (gc === undefined) throw new Error("start with --expose-gc");
  for (let pass = 0; pass < 5; pass++) {
    gc();
    await sleep(20);
  }
  return process.memoryUsage().rss;
}

/** One burst per turn of the event loop, as long as the subscribers keep up within the window. */
async function flood({ payloadBytes, burst, subscribers, leadInMs, ms }: FloodOptions): Promise<Flooded> {
  const window = Math.min(WINDOW_MESSAGES, WINDOW_BYTES / payloadBytes);
  const start = now();
  let published = 0;
  let taken = 0;
  let mark: { published: number; cpu: NodeJS.CpuUsage; at: number } | undefined;
  await new Promise<void>((done) => {
    function tick(): void {
      const elapsed = now() - start;
      if (mark === undefined && elapsed >= leadInMs) mark = { published, cpu: process.cpuUsage(), at: now() };
      const enough = mark !== undefined && published - mark.published >= BURSTS_AT_LEAST * burst;
      if (enough && elapsed >= leadInMs + ms) return done();
      if (published - taken > window / 2) taken = tally.read().received / subscribers;
      if (published + burst - taken > window) {
        setTimeout(tick, 1);
        return;
      }
      peer.broadcast(burstOf(published, burst, payloadBytes));
      published += burst;
      setImmediate(tick);
    }
    tick();
  });
  await settled(published * subscribers);
  if (mark === undefined) throw new Error("the lead-in never ended");
  const cpu = process.cpuUsage(mark.cpu);
  return { published, counted: published - mark.published, cpuMicros: cpu.user + cpu.system, beganAt: mark.at };
}

/** A burst at each due time, however late the one before it was. */
async function steady(
  { payloadBytes, burst, subscribers, beginAt, intervalMs, bursts }: SteadyOptions,
): Promise<{ published: number }> {
  for (let index = 0; index < bursts; index++) {
    await until(beginAt + index * intervalMs);
    peer.broadcast(burstOf(index * burst, burst, payloadBytes));
  }
  await settled(bursts * burst * subscribers);
  return { published: bursts * burst };
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
  const giveUpAt = now() + 10_000;
  for (;;) {
    const { received, unacked } = tally.read();
    if (received >= deliveries && unacked === 0) return;
    if (now() > giveUpAt) return; // the receiver's reconciliation says what is missing
    await sleep(10);
  }
}
