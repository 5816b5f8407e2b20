import { execFileSync, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { createInterface } from "node:readline";
import { natsServerPath } from "../../test/nats/nats_server.ts";
import { startCluster, startServer } from "../../test/nats/servers.ts";
import type { PeerName } from "./plan.ts";

/** What carries messages between nodes, private and on 127.0.0.1. */
export interface Broker {
  /** What a client connects to. */
  readonly url: string;
  readonly port: number;
  /** CPU time of all its processes so far, microseconds; NaN where the system does not tell. */
  cpuMicros(): number;
  close(): Promise<void>;
}

/** Starts what a peer needs between its nodes. */
export async function startBroker(peer: PeerName): Promise<Broker | undefined> {
  switch (peer) {
    case "peyk-nats":
    case "nats-bare":
      return await startNats(1, false);
    case "peyk-jetstream":
      return await startNats(1, true);
    case "socket.io-redis":
      return await startRedis();
    case "peyk-single":
      return undefined;
  }
}

/** One nats-server, or several that form a cluster. */
export async function startNats(size: number, jetstream: boolean): Promise<Broker> {
  const cluster = size > 1 ? await startCluster(size) : undefined;
  const servers = cluster?.servers ?? [await startServer({ jetstream })];
  return {
    url: servers.map(({ url }) => url).join(","),
    port: servers[0]!.port,
    cpuMicros: () => servers.reduce((sum, { pid }) => sum + cpuMicrosOf(pid), 0),
    close: async () => void await Promise.all(servers.map((server) => server.close())),
  };
}

/** A redis-server that writes nothing to disk. */
async function startRedis(): Promise<Broker> {
  const port = await freePort();
  const args = ["--port", `${port}`, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
  const child = spawn("redis-server", args, { stdio: ["ignore", "pipe", "inherit"] });
  const killAtExit = (): void => void child.kill("SIGKILL");
  process.on("exit", killAtExit);
  const ended = new Promise<void>((resolve) => child.on("close", () => resolve()));
  await new Promise<void>((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`redis-server ended with code ${code}`)));
    createInterface({ input: child.stdout }).on("line", (line) => line.includes("Ready to accept connections") && resolve());
  });
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    cpuMicros: () => cpuMicrosOf(child.pid!),
    async close() {
      process.removeListener("exit", killAtExit);
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/**
 * The versions of the brokers that these peers need.
 * @throws {Error} when one is not there; its message says how to get it
 */
export function brokerVersions(peers: readonly PeerName[]): string[] {
  const versions = [execFileSync(natsServerPath(), ["--version"], { encoding: "utf8" }).trim().replace(/:? v/, " ")];
  if (!peers.includes("socket.io-redis")) return versions;
  try {
    const said = execFileSync("redis-server", ["--version"], { encoding: "utf8" });
    return [...versions, `redis-server ${/v=(\S+)/.exec(said)?.[1]}`];
  } catch {
    throw new Error("no redis-server on the PATH: `apt-get install redis-server`, or leave socket.io-redis out of --peers");
  }
}

/** Whole hundredths of a second: proc(5) says no more of another process. */
function cpuMicrosOf(pid: number): number {
  if (process.platform !== "linux") return NaN;
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  // Fields are counted behind the name, which may hold spaces: user and system time are the 12th and 13th.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().on("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}
