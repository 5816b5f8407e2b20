import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { expect, test, vi } from "vitest";
import { startCluster, startServer } from "./servers.ts";

test("a server takes clients, and is gone with its folder when it is closed", async () => {
  const server = await startServer({ jetstream: true });
  const connection = await connect({ servers: server.url });
  expect(connection.info?.version).toMatch(/^2\.1[2-9]\./);
  const { store_dir } = (await server.ask<{ jetstream: { config: { store_dir: string } } }>("varz"))!.jetstream.config;
  expect(existsSync(store_dir)).toBe(true);
  await connection.close();
  await server.close();
  expect(server.running).toBe(false);
  expect(existsSync(dirname(store_dir))).toBe(false);
});

test("the floor is a 2.9", async () => {
  await using server = await startServer({ floor: true });
  expect((await server.ask<{ version: string }>("varz"))!.version).toMatch(/^2\.9\./);
});

test("a killed server comes back on its port with what it stored", async () => {
  await using server = await startServer({ jetstream: true });
  const { pid, url } = server;
  const first = await connect({ servers: url });
  await (await jetstreamManager(first)).streams.add({ name: "kept", subjects: ["kept"] });
  await jetstream(first).publish("kept");
  await first.close();
  await server.kill();
  await server.restart();
  expect(server.pid).not.toBe(pid);
  const second = await connect({ servers: url });
  expect((await (await jetstreamManager(second)).streams.info("kept")).state.messages).toBe(1);
  await second.close();
});

test("a paused server answers when it is resumed, and can be stopped while it is paused", async () => {
  await using server = await startServer();
  await server.pause();
  const answer = server.ask("varz");
  server.resume();
  expect(await answer).toBeDefined();
  await server.pause();
  await server.stop();
  expect(server.running).toBe(false);
});

test("a server that can't start says why", async () => {
  await expect(startServer({ config: ["no_such_setting: 1"] })).rejects.toThrow("no_such_setting");
});

test("a cluster keeps three replicas, and goes on without the leader that was killed", { timeout: 90_000 }, async () => {
  await using cluster = await startCluster(3);
  const connection = await connect({ servers: cluster.urls });
  const manager = await jetstreamManager(connection);
  // Servers that elect on a busy machine answer nobody: the same stream may be asked for again.
  const stream = { name: "kept", subjects: ["kept"], num_replicas: 3 };
  const { cluster: group } = await vi.waitFor(() => manager.streams.add(stream), { timeout: 30_000 });
  expect(group?.replicas?.length).toBe(2);
  const leader = await cluster.ready();
  await leader.kill();
  expect(await cluster.ready()).not.toBe(leader);
  await leader.restart();
  await cluster.ready();
  await connection.close();
});
