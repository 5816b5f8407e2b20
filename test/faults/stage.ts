import process from "node:process";
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { onTestFinished } from "vitest";
import type { UserRecord } from "../../mod.ts";
import { type NatsCluster, type NatsServer, startCluster } from "../nats/servers.ts";
import { Device, type Role } from "./device.ts";
import { type EngineNode, type NodeConfig, startNode } from "./engine_node.ts";
import { Load, type LoadOptions, NEWS } from "./load.ts";
import { type PushReceiver, startPushReceiver } from "./push_receiver.ts";

/** By hand: how many deliveries and sessions all scenarios together, and each of them, get. */
const byHand = process.env["PEYK_FAULT_MESSAGES"];
export const MESSAGES = Number(byHand ?? 50_000);
export const SESSIONS = Number(process.env["PEYK_FAULT_SESSIONS"] ?? 36);
const SCENARIOS = 7;

/** The shortest that shows it: longer than a lease lives (7 s). By hand as long as the rule says. */
export const PAUSE_MS = byHand === undefined ? 12_000 : 30_000;
export const POLICY = { graceMs: 2_000, ackTimeoutMs: 3_000, activeElsewhereMs: 5_000, coalesceMs: 0 } as const;
/** Within so long after its last lease a dead node's sessions are to be decided for. */
export const DECIDED_MS = POLICY.graceMs + POLICY.activeElsewhereMs + 5_000;
/** Nobody decides any more. */
const UNDECIDED_MS = 120_000;
const SPREAD_SECONDS = byHand === undefined ? 8 : 40;
const LOG = "peyk_LOG_0";
const STATE = "peyk_STATE";

/** Three nats-servers, three engines on them, devices, and somebody who takes pushes. */
export interface Stage {
  readonly cluster: NatsCluster;
  readonly nodes: readonly EngineNode[];
  readonly devices: readonly Device[];
  readonly receiver: PushReceiver;
  readonly load: Load;
  /** The server that leads a stream now. */
  leaderOf(stream: "log" | "state"): Promise<NatsServer>;
  /** Makes that server the leader of both streams. */
  lead(server: NatsServer): Promise<void>;
  /** Resolves when all servers run, and every copy of every stream is up to date. */
  healed(): Promise<void>;
  recordsOf(userIds: string[]): Promise<(UserRecord | undefined)[]>;
  /**
   * The devices that vanish do. Resolves when the storage says that all of them are away and decided for, for what came since too;
   * to the time of it, milliseconds since 1970; Infinity: nobody decided.
   */
  vanish(): Promise<number>;
}

/** What a scenario changes of it. */
export interface StageOptions {
  cluster?: () => Promise<NatsCluster>;
  load?: Partial<LoadOptions>;
}

/** Everything runs, and the load may begin. What was started ends with the test, whatever becomes of it. */
export async function createStage(
  { cluster: start = startCluster, load = {} }: StageOptions = {},
): Promise<Stage> {
  const cluster = await start();
  onTestFinished(() => cluster.close());
  const admin = await connect({ servers: cluster.urls, maxReconnectAttempts: -1, reconnectTimeWait: 50, pingInterval: 1_000 });
  onTestFinished(() => admin.close());
  const streams = await jetstreamManager(admin);
  const receiver = await startPushReceiver();
  onTestFinished(() => receiver.close());
  const nodes: EngineNode[] = [];
  for (let index = 0; index < 3; index++) {
    const { urls } = cluster;
    const servers = [...urls.slice(index), ...urls.slice(0, index)];
    const config: NodeConfig = {
      ...{ servers, policy: POLICY, heartbeatMs: 1_000 },
      ...{ pushUrl: receiver.url, pushSecret: receiver.secret },
    };
    nodes.push(await startNode(config, (task) => onTestFinished(task)));
  }
  const devices = populate(nodes);
  onTestFinished(async () => void await Promise.all(devices.map((device) => device.leave())));
  await settleIn(devices, nodes);

  const ask = <Answer>(command: Parameters<EngineNode["ask"]>[0]): Promise<Answer> =>
    nodes.find(({ usable }) => usable)!.ask<Answer>(command);
  const named = (name: string | undefined): NatsServer | undefined => cluster.servers.find((server) => server.name === name);
  const stage: Stage = {
    ...{ cluster, nodes, devices, receiver },
    load: new Load({ nodes, devices, deliveries: MESSAGES / SCENARIOS, seconds: SPREAD_SECONDS, ...load }),
    async leaderOf(stream) {
      for (;;) {
        const info = await streams.streams.info(stream === "log" ? LOG : STATE).catch(() => undefined);
        const leader = named(info?.cluster?.leader);
        if (leader?.running) return leader;
      }
    },
    async lead(server) {
      for (const [stream, name] of [["log", LOG], ["state", STATE]] as const) {
        await until(async () => {
          if (await stage.leaderOf(stream) === server) return true;
          const wish = JSON.stringify({ placement: { preferred: server.name } });
          await admin.request(`$JS.API.STREAM.LEADER.STEPDOWN.${name}`, wish).catch(() => {}); // The next look finds out.
          return false;
        });
      }
    },
    healed: () => until(() => inStep(streams, cluster)),
    recordsOf: (userIds) => ask<(UserRecord | undefined)[]>({ type: "records", userIds }),
    async vanish() {
      const since = Date.now();
      const vanished = devices.filter(({ role }) => role === "vanishes");
      vanished.forEach((device, index) => device.vanish(index % 2 === 1));
      const userIds = vanished.map(({ userId }) => userId);
      for (; Date.now() - since < UNDECIDED_MS; await pass(50)) {
        const news = stage.load.published.find(({ to, at, state }) => to === "*" && at >= since && state === "accepted");
        if (news === undefined) continue;
        const { epoch, offset } = news.position!;
        // The first node may be the one that is in trouble.
        const records = await nodes[1]!.ask<(UserRecord | undefined)[]>({ type: "records", userIds }).catch(() => []);
        const all = vanished.every(({ deviceId }, index) => {
          const session = records[index]?.sessions.find((session) => session.deviceId === deviceId);
          const progress = records[index]?.positions.progress[deviceId]?.[`*/${NEWS}`];
          return session?.node === null && progress?.epoch === epoch && progress.decided >= offset;
        });
        if (all) return Date.now();
      }
      return Infinity;
    },
  };
  return stage;
}

/** Every tenth user is away, every tenth vanishes from the first node; every fifth has a second device on another node. */
function populate(nodes: readonly EngineNode[]): Device[] {
  const entries = new Map<string, string>();
  const devices: Device[] = [];
  for (let user = 0; devices.length < SESSIONS; user++) {
    const role: Role = user % 10 === 9 ? "away" : user % 10 === 4 ? "vanishes" : "stays";
    const userId = `user ${user}`;
    const home = role === "vanishes" ? 0 : user % nodes.length;
    devices.push(new Device({ userId, index: 1, role, home }, nodes, entries));
    if (user % 5 === 0) devices.push(new Device({ userId, index: 2, role: "stays", home: home + 1 }, nodes, entries));
  }
  return devices;
}

/** Signed in, subscribed, with push targets; who is to be away is. */
async function settleIn(devices: readonly Device[], nodes: readonly EngineNode[]): Promise<void> {
  for (let at = 0; at < devices.length; at += 200) {
    const some = devices.slice(at, at + 200);
    const userIds = [...new Set(some.map(({ userId }) => userId))];
    await nodes[at / 200 % nodes.length]!.ask({ type: "subscribe", userIds, channel: NEWS });
    for (const device of some) device.connect();
    await Promise.all(some.map((device) => device.client.registerPush({ provider: "webhook", token: device.token })));
    await Promise.all(some.map((device) => device.role === "away" ? device.leave() : undefined));
  }
}

async function inStep({ streams }: JetStreamManager, cluster: NatsCluster): Promise<boolean> {
  const healthy = await Promise.all(cluster.servers.map((server) => server.running && server.ask("healthz")));
  if (!healthy.every(Boolean)) return false;
  try {
    for (const name of [LOG, STATE]) {
      const { cluster: group } = await streams.info(name);
      const replicas = group?.replicas ?? [];
      if (group?.leader === undefined || replicas.length !== 2) return false;
      if (!replicas.every(({ current, offline, lag }) => current && offline !== true && (lag ?? 0) < 100)) return false;
    }
    return true;
  } catch {
    return false; // No leader yet.
  }
}

/** Waits for what others do on their own; the test's own timeout ends it. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!await condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** For what a fault is to last. */
export function pass(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
