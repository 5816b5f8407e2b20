import { connect as connectSocket, createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { freePort, type NatsCluster, type NatsServer, startServer } from "../nats/servers.ts";

/** A cluster whose servers reach each other over lines that can be cut, while clients reach all of them. */
export interface CutCluster extends NatsCluster {
  /** Nothing passes between this server and the others any more, and nobody is told: as when a cable is pulled. */
  cut(server: NatsServer): void;
  heal(): void;
}

/** One server's way to another one. */
interface Line {
  readonly ends: readonly [from: number, to: number];
  readonly port: number;
  cut: boolean;
  readonly sockets: Set<Socket>;
  readonly proxy: Server;
}

export async function startCutCluster(): Promise<CutCluster> {
  const routes = await Promise.all([0, 1, 2].map(freePort));
  const lines: Line[] = [];
  for (const from of [0, 1, 2]) for (const to of [0, 1, 2]) if (from !== to) lines.push(await startLine(from, to, routes[to]!));
  const servers: NatsServer[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.close()));
    for (const { proxy, sockets } of lines) {
      for (const socket of sockets) socket.destroy();
      proxy.close();
    }
  };
  try {
    for (const index of [0, 1, 2]) {
      const ways = lines.filter(({ ends }) => ends[0] === index).map(({ port }) => `nats://127.0.0.1:${port}`);
      // What it tells the others about itself leads nowhere: else they would go round the lines.
      const cluster = `cluster { name: peyk, listen: "127.0.0.1:${routes[index]}", advertise: "127.0.0.1:1", routes: ${
        JSON.stringify(ways)
      } }`;
      servers.push(await startServer({ jetstream: true, name: `n${index + 1}`, config: [cluster] }));
    }
    while (!await isOne(servers)) await new Promise((resolve) => setTimeout(resolve, 20));
  } catch (error) {
    await close();
    throw error;
  }
  function set(cut: (line: Line) => boolean): void {
    for (const line of lines) {
      line.cut = cut(line);
      for (const socket of line.sockets) line.cut ? socket.pause() : socket.resume();
    }
  }
  return {
    servers,
    urls: servers.map(({ url }) => url),
    ready: () => Promise.reject(new Error("not for this cluster")),
    cut(server) {
      const cutOff = servers.indexOf(server);
      set(({ ends }) => ends.includes(cutOff));
    },
    heal: () => set(() => false),
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function startLine(from: number, to: number, target: number): Promise<Line> {
  const sockets = new Set<Socket>();
  const proxy = createServer((near) => {
    const far = connectSocket(target, "127.0.0.1");
    for (const [one, other] of [[near, far], [far, near]] as const) {
      sockets.add(one);
      one.on("data", (bytes) => other.write(bytes));
      one.on("error", () => {}); // Its close says the same.
      one.on("close", () => {
        sockets.delete(one);
        other.destroy();
      });
      if (line.cut) one.pause();
    }
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const line: Line = { ends: [from, to], port: (proxy.address() as AddressInfo).port, cut: false, sockets, proxy };
  return line;
}

interface Jsz {
  meta_cluster?: { leader?: string; cluster_size: number };
}

/** All three know of each other, and agree on who leads. */
async function isOne(servers: readonly NatsServer[]): Promise<boolean> {
  const healthy = await Promise.all(servers.map((server) => server.ask("healthz")));
  const groups = (await Promise.all(servers.map((server) => server.ask<Jsz>("jsz")))).map((jsz) => jsz?.meta_cluster);
  const leaders = new Set(groups.map((group) => group?.leader));
  return !healthy.includes(undefined) && leaders.size === 1 && !leaders.has(undefined) &&
    groups.every((group) => group!.cluster_size === servers.length);
}
