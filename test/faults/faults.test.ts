// What must hold whatever dies, with real processes: three engines, three nats-servers, and the real client.
// By hand: PEYK_FAULT_MESSAGES=1000000 for as many deliveries and pauses of 30 s, PEYK_FAULT_SESSIONS=10000 for as many devices.
import process from "node:process";
import { expect, test } from "vitest";
import { startCluster } from "../nats/servers.ts";
import { type CutCluster, startCutCluster } from "./cut_cluster.ts";
import { createStage, DECIDED_MS, pass, PAUSE_MS, type Stage, until } from "./stage.ts";
import { type Death, describeTally, RIGHT, settle } from "./tally.ts";

const TIMEOUT = { timeout: process.env["PEYK_FAULT_MESSAGES"] === undefined ? 240_000 : 3_600_000 };

async function expectRight(stage: Stage, name: string, death?: Death): Promise<void> {
  const tally = await settle(stage, death);
  console.log(describeTally(name, tally));
  if (process.env["PEYK_FAULT_LOG"] !== undefined) { for (const { log } of stage.nodes) console.log(log.join("\n"), "\n"); }
  expect(tally).toMatchObject({ ...RIGHT, acked: tally.deliveries });
  // With thousands of sessions it is the machine that is measured.
  if (death !== undefined && process.env["PEYK_FAULT_SESSIONS"] === undefined) expect(tally.decidedMs).toBeLessThan(DECIDED_MS);
}

test("kill -9 of an engine: its clients go on elsewhere, who does not come back is pushed to", TIMEOUT, async () => {
  const stage = await createStage();
  const [victim] = stage.nodes;
  let death: Death;
  await stage.load.run(async () => {
    await victim!.kill();
    death = { leasedAt: victim!.leasedAt, decidedAt: stage.vanish() };
    await pass(3_000);
  });
  await expectRight(stage, "engine killed", death!);
});

test("kill -9 of the server that leads the streams: another one leads them, and it comes back", TIMEOUT, async () => {
  const stage = await createStage();
  const leader = await stage.leaderOf("log");
  await stage.lead(leader);
  await stage.load.run(async () => {
    await leader.kill();
    void stage.vanish();
    await stage.leaderOf("log");
    await stage.leaderOf("state");
    await pass(1_000);
    await leader.restart();
    await stage.healed();
  });
  await expectRight(stage, "stream leader killed");
});

test("SIGSTOP of an engine for longer than its lease: others take over, and it lets go when it wakes", TIMEOUT, async () => {
  const stage = await createStage();
  const [victim] = stage.nodes;
  let death: Death;
  await stage.load.run(async () => {
    // When it wakes, its sockets are as it left them.
    for (const device of stage.devices) if (device.home === 0) device.benumb();
    victim!.pause();
    death = { leasedAt: victim!.leasedAt, decidedAt: stage.vanish() };
    await pass(PAUSE_MS);
    victim!.resume();
  });
  await expectRight(stage, "engine stopped", death!);
});

test(
  "a server cut off from the others, with an engine on it: its sessions are taken over, until the line is healed",
  TIMEOUT,
  async () => {
    let cluster: CutCluster;
    const stage = await createStage({ cluster: async () => cluster = await startCutCluster() });
    const [victim] = stage.nodes;
    // Neither stream has to elect a leader.
    await stage.lead(stage.cluster.servers[1]!);
    let death: Death;
    await stage.load.run(async () => {
      cluster.cut(cluster.servers[0]!);
      death = { leasedAt: victim!.leasedAt, decidedAt: stage.vanish() };
      await pass(PAUSE_MS);
      cluster.heal();
      await stage.healed();
    });
    await expectRight(stage, "server cut off", death!);
  },
);

test("a replica that was frozen and is behind: nobody believes it, nobody waits for it", TIMEOUT, async () => {
  const stage = await createStage();
  const [frozen, leader] = stage.cluster.servers;
  const [victim] = stage.nodes;
  // Neither stream has to elect a leader.
  await stage.lead(leader!);
  let death: Death;
  await stage.load.run(async () => {
    await frozen!.pause();
    death = { leasedAt: victim!.leasedAt, decidedAt: stage.vanish() };
    await pass(PAUSE_MS);
    frozen!.resume();
    await stage.healed();
  });
  await expectRight(stage, "stale replica", death!);
});

test("all servers restarted one after the other, each back before the next", TIMEOUT, async () => {
  const stage = await createStage();
  await stage.load.run(async () => {
    void stage.vanish();
    for (const server of stage.cluster.servers) {
      await server.stop();
      await server.restart();
      await stage.healed();
    }
  });
  await expectRight(stage, "servers restarted");
});

test("slow consumers: a client that stops reading, and an engine whose connection a server gives up", TIMEOUT, async () => {
  const stage = await createStage({ cluster: () => startCluster(3, { config: ["max_pending: 1MB", "write_deadline: 500ms"] }) });
  const reader = stage.devices.find(({ role, home }) => role === "stays" && home === 1)!;
  const slow = stage.nodes[2]!;
  await stage.load.run(async () => {
    void stage.vanish();
    reader.stopReading();
    // More than a connection may have unseen: the rest comes from the log.
    const burst = Array.from({ length: 2_500 }, () => stage.load.publish(reader.userId, "x".repeat(500)));
    await Promise.all(burst);
    await until(async () => (await stage.nodes[1]!.ask<{ diverted: number }>({ type: "counters" })).diverted > 0);
    slow.pause();
    await until(async () => {
      const messages = Array.from(
        { length: 20 },
        () => ({ to: "*", channel: "bulk", content: "x".repeat(60_000), id: crypto.randomUUID() }),
      );
      await Promise.all(stage.nodes[0]!.publish(messages));
      const servers = await Promise.all(stage.cluster.servers.map((server) => server.ask<{ slow_consumers: number }>("varz")));
      return servers.some((server) => (server?.slow_consumers ?? 0) > 0);
    });
    slow.resume();
    reader.readAgain();
  });
  await expectRight(stage, "slow consumers");
});
