import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { now } from "./clock.ts";
import { answerCommands } from "./commands.ts";
import type { Peer } from "./peers/peer.ts";
import type { PeerName } from "./plan.ts";
import { type Bursts, Publishing, type SteadyOptions, windowOf } from "./publishing.ts";

// The process of one peer: started fresh, publishes what it is told to, reads its own CPU time and memory.

export interface FloodOptions extends Bursts {
  leadInMs: number;
  ms: number;
  /** Bursts that are counted at least, however long they take. */
  burstsAtLeast: number;
}

/** What is counted begins after the lead-in; `published` is everything. */
export interface Flooded {
  published: number;
  counted: number;
  cpuMicros: number;
  /** When the counted part began. */
  beganAt: number;
}

const [name, tallyPath] = process.argv.slice(2) as [PeerName, string];
const peer = await start(name);
const publishing = new Publishing(peer, tallyPath);

answerCommands({
  port: () => peer.port,
  admit: ({ from, to }: { from: number; to: number }) => peer.admit?.(from, to),
  rss,
  flood,
  steady: (options: SteadyOptions) => publishing.steady(options),
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

/** As fast as it goes, first through the lead-in. */
async function flood({ leadInMs, ms, burstsAtLeast, ...bursts }: FloodOptions): Promise<Flooded> {
  const start = now();
  let mark: { published: number; cpu: NodeJS.CpuUsage; at: number } | undefined;
  const published = await publishing.flood(
    { ...bursts, from: 0, window: windowOf(bursts.payloadBytes), lookMs: 1 },
    (published) => {
      const elapsed = now() - start;
      if (mark === undefined && elapsed >= leadInMs) mark = { published, cpu: process.cpuUsage(), at: now() };
      const enough = mark !== undefined && published - mark.published >= burstsAtLeast * bursts.burst;
      return enough && elapsed >= leadInMs + ms;
    },
  );
  if (mark === undefined) throw new Error("the lead-in never ended");
  const cpu = process.cpuUsage(mark.cpu);
  return { published, counted: published - mark.published, cpuMicros: cpu.user + cpu.system, beganAt: mark.at };
}
