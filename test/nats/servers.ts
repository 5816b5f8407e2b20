import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { floorServerPath, natsServerPath } from "./nats_server.ts";

export interface ServerOptions {
  /** Lines of the `jetstream` block; `true` for the server's own defaults. Absent: no JetStream. */
  jetstream?: boolean | readonly string[];
  /** The oldest server that is supported, instead of the current one. */
  floor?: boolean;
  /** More lines of the configuration file. */
  config?: readonly string[];
  /** Default: a free one. */
  port?: number;
  name?: string;
  /** Where JetStream stores. Default: a folder of its own, which `close` removes. */
  storeDir?: string;
}

/** A private nats-server in a process of its own, on 127.0.0.1. */
export interface NatsServer extends AsyncDisposable {
  readonly name: string;
  /** What clients connect to, `nats://127.0.0.1:port`. */
  readonly url: string;
  readonly port: number;
  /** Of the process that runs now, or ran last. */
  readonly pid: number;
  readonly running: boolean;
  /** What it has logged, all lives. */
  readonly log: readonly string[];
  /** The JSON that its monitoring port answers, such as `varz` or `jsz?streams=true`; undefined when it does not answer with 200. */
  ask<Answer>(what: string): Promise<Answer | undefined>;
  /** Ends the process, also a paused one. What it stored stays for `restart`. */
  stop(signal?: "SIGTERM" | "SIGINT"): Promise<void>;
  /** Ends the process with SIGKILL. What it stored stays for `restart`. */
  kill(): Promise<void>;
  /** Stops its process. It does nothing more once this has resolved: a signal alone takes effect somewhat later. */
  pause(): Promise<void>;
  resume(): void;
  /** Stops it if it runs, and starts it on the same ports and what it stored; resolves when it takes clients. */
  restart(): Promise<void>;
  /** Ends it and removes what it stored. */
  close(): Promise<void>;
}

/** Several servers that form one JetStream cluster. */
export interface NatsCluster extends AsyncDisposable {
  readonly servers: readonly NatsServer[];
  readonly urls: string[];
  /** Resolves when the running servers agree on a leader of JetStream, and all that run are up to date. */
  ready(): Promise<NatsServer>;
  close(): Promise<void>;
}

/** Starts a server; resolves when it takes clients. */
export async function startServer(options: ServerOptions = {}): Promise<NatsServer> {
  const server = await prepareServer(options);
  await server.restart();
  return server;
}

/** Starts a cluster; resolves when it has a leader and every server is part of it, so that streams can be made at once. */
export async function startCluster(
  size: number = 3,
  options: Pick<ServerOptions, "jetstream" | "config"> = {},
): Promise<NatsCluster> {
  const routes: number[] = [];
  for (let index = 0; index < size; index++) routes.push(await freePort());
  const urls = routes.map((port) => `nats://127.0.0.1:${port}`);
  const servers = await Promise.all(routes.map((port, index) => {
    const others = urls.filter((_, other) => other !== index);
    const cluster = `cluster { name: peyk, listen: "127.0.0.1:${port}", routes: ${JSON.stringify(others)} }`;
    return prepareServer({ jetstream: true, ...options, name: `n${index + 1}`, config: [cluster, ...options.config ?? []] });
  }));
  const close = async (): Promise<void> => void await Promise.all(servers.map((server) => server.close()));
  const cluster = {
    servers,
    urls: servers.map(({ url }) => url),
    ready: () => leaderOf(servers),
    close,
    [Symbol.asyncDispose]: close,
  };
  try {
    await Promise.all(servers.map((server) => server.restart()));
    await cluster.ready();
  } catch (error) {
    await close();
    throw error;
  }
  return cluster;
}

/** What a server says of JetStream's own group. */
interface Jsz {
  meta_cluster?: { leader?: string; cluster_size: number; replicas?: { name: string; current: boolean; offline?: boolean }[] };
}

async function leaderOf(servers: readonly NatsServer[]): Promise<NatsServer> {
  for (;; await new Promise((resolve) => setTimeout(resolve, 20))) {
    const running = servers.filter((server) => server.running);
    if (running.length * 2 <= servers.length) throw new Error("too few servers run to elect a leader");
    const healthy = await Promise.all(running.map((server) => server.ask("healthz")));
    if (healthy.includes(undefined)) continue;
    const answers = await Promise.all(running.map((server) => server.ask<Jsz>("jsz")));
    const leaders = new Set(answers.map((answer) => answer?.meta_cluster?.leader));
    const leader = running.find(({ name }) => leaders.size === 1 && leaders.has(name));
    const group = answers[running.indexOf(leader!)]?.meta_cluster;
    const followers = group?.replicas?.filter(({ current, offline }) => current && !offline) ?? [];
    if (leader !== undefined && group?.cluster_size === servers.length && followers.length >= running.length - 1) return leader;
  }
}

/** Whether all threads of a process are stopped, as far as the system tells. */
function isStopped(pid: number): boolean {
  const threads = `/proc/${pid}/task`;
  if (!existsSync(threads)) return true;
  return readdirSync(threads).every((thread) =>
    / [Tt] /.test(readFileSync(`${threads}/${thread}/stat`, "utf8").split(")").at(-1)!)
  );
}

async function prepareServer(options: ServerOptions): Promise<NatsServer> {
  const path = options.floor ? floorServerPath() : natsServerPath();
  const port = options.port ?? await freePort();
  const monitor = await freePort();
  const name = options.name ?? "n1";
  const folder = mkdtempSync(join(tmpdir(), "peyk-nats-"));
  const removeFolder = (): void => rmSync(folder, { recursive: true, force: true });
  const file = join(folder, "server.conf");
  const lines = [`listen: "127.0.0.1:${port}"`, `http: "127.0.0.1:${monitor}"`, `server_name: ${name}`];
  if (options.jetstream !== undefined && options.jetstream !== false) {
    const more = options.jetstream === true ? [] : options.jetstream;
    lines.push("jetstream {", `store_dir: ${JSON.stringify(options.storeDir ?? folder)}`, ...more, "}");
  }
  writeFileSync(file, [...lines, ...options.config ?? [], ""].join("\n"));

  const log: string[] = [];
  let life: Life | undefined;

  async function end(signal: NodeJS.Signals): Promise<void> {
    if (life === undefined || life.ended) return;
    life.signal(signal);
    life.signal("SIGCONT");
    await life.end;
  }

  const server: NatsServer = {
    name,
    url: `nats://127.0.0.1:${port}`,
    port,
    log,
    get pid() {
      return life?.pid ?? -1;
    },
    get running() {
      return life !== undefined && !life.ended;
    },
    async ask<Answer>(what: string) {
      try {
        const response = await fetch(`http://127.0.0.1:${monitor}/${what}`, { signal: AbortSignal.timeout(5_000) });
        const answer = await response.json();
        return response.ok ? answer as Answer : undefined;
      } catch {
        return undefined;
      }
    },
    stop: (signal = "SIGTERM") => end(signal),
    kill: () => end("SIGKILL"),
    async pause() {
      life?.signal("SIGSTOP");
      while (life !== undefined && !life.ended && !isStopped(life.pid ?? 0)) {
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    },
    resume: () => life?.signal("SIGCONT"),
    async restart() {
      await end("SIGTERM");
      life = startLife(path, file, log);
      await life.ready;
    },
    async close() {
      await end("SIGKILL");
      process.removeListener("exit", removeFolder);
      removeFolder();
    },
    [Symbol.asyncDispose]: () => server.close(),
  };
  process.on("exit", removeFolder);
  return server;
}

/** One process of a server. */
interface Life {
  readonly pid: number | undefined;
  readonly ended: boolean;
  signal(name: NodeJS.Signals): void;
  /** Rejects when it ends before it takes clients. */
  readonly ready: Promise<void>;
  readonly end: Promise<void>;
}

function startLife(path: string, file: string, log: string[]): Life {
  const child = spawn(path, ["-c", file], { stdio: ["ignore", "ignore", "pipe"] });
  const life = {
    pid: child.pid,
    ended: false,
    // Not the child's own kill: Deno's sends one signal in a life, and the pid of a child that was not waited for is nobody else's.
    signal(name: NodeJS.Signals): void {
      try {
        if (child.pid !== undefined && !life.ended) process.kill(child.pid, name);
      } catch {
        // It has just ended.
      }
    },
  };
  const killAtExit = (): void => life.signal("SIGKILL");
  process.on("exit", killAtExit);
  const ends = Promise.withResolvers<void>();
  const readies = Promise.withResolvers<void>();
  const start = log.length;
  createInterface({ input: child.stderr! }).on("line", (line) => {
    log.push(line);
    if (line.endsWith("Server is ready")) readies.resolve();
  });
  child.on("error", (error) => log.push(error.message));
  child.on("exit", () => life.ended = true);
  child.on("close", () => {
    process.removeListener("exit", killAtExit);
    life.ended = true;
    readies.reject(new Error(`nats-server ended: ${log.slice(start).slice(-20).join("\n")}`));
    ends.resolve();
  });
  return Object.assign(life, { ready: readies.promise, end: ends.promise });
}

/** Below the ports that systems give to outgoing connections: a restarted server finds its own free again. */
const PORTS = { first: 10_000, count: 22_000 };
/** Test files that run at the same time draw from shares of their own: what one has drawn and not yet taken looks free to the others. */
const SHARES = 16;
const share = PORTS.count / SHARES;
const firstOfShare = PORTS.first + share * (Number(process.env["VITEST_POOL_ID"] ?? 0) % SHARES);
let drawn = Math.floor(Math.random() * share);

/** A port that nobody listens on, and that this process has not given to another server: that one may be about to listen, or be stopped. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = firstOfShare + drawn++ % share;
    const free = await new Promise<boolean>((resolve) => {
      const probe = createServer().on("error", () => resolve(false));
      probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
    });
    if (free) return port;
  }
}
