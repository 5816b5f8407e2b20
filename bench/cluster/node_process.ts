import process from "node:process";
import { now } from "../fan_out/clock.ts";
import { answerCommands } from "../fan_out/commands.ts";
import type { Peer } from "../fan_out/peers/peer.ts";
import { type Flood, Publishing, type SteadyOptions } from "../fan_out/publishing.ts";
import type { PeerName } from "./plan.ts";

// The process of one node: started fresh, publishes when it is told to, reads its own CPU time.

export interface FloodOptions extends Flood {
  ms: number;
  /** Bursts that are published at least, however long they take. */
  burstsAtLeast: number;
}

const [name, url, tallyPath] = process.argv.slice(2) as [PeerName, string, string];
const node = await start(name);
const publishing = new Publishing(node, tallyPath);

answerCommands({
  port: () => node.port,
  admit: ({ from, to }: { from: number; to: number }) => node.admit?.(from, to),
  cpuMicros,
  flood,
  steady: (options: SteadyOptions) => publishing.steady(options),
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

/** @returns messages of the phase so far */
function flood({ ms, burstsAtLeast, ...options }: FloodOptions): Promise<number> {
  const end = now() + ms;
  const least = options.from + burstsAtLeast * options.burst;
  return publishing.flood(options, (published) => now() >= end && published >= least);
}
