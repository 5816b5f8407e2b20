import { afterAll, beforeAll, expect, test } from "vitest";
import { newRow, user } from "../../adapters/conformance/records.ts";
import { type NatsCluster, startCluster } from "../nats/servers.ts";
import {
  connect,
  countUp,
  createContext,
  createRunningClock,
  freshName,
  openNode,
  type StateNode,
  type TestConnection,
  until,
} from "./state_stage.ts";

let cluster: NatsCluster;
const connections: TestConnection[] = [];
beforeAll(async () => {
  cluster = await startCluster(3);
}, 60_000);
afterAll(async () => {
  await Promise.all(connections.map((connection) => connection.close()));
  await cluster.close();
});

async function open(name: string): Promise<StateNode> {
  const connection = await connect(cluster.urls);
  connections.push(connection);
  return await openNode({ connection, name, replicas: 3, context: createContext(createRunningClock()) });
}

async function leaderOf(name: string): Promise<string> {
  const answer = await connections[0]!.request(`$JS.API.STREAM.INFO.${name}_STATE`, undefined, { timeout: 5_000 });
  return JSON.parse(new TextDecoder().decode(answer.data)).cluster.leader;
}

test(
  "no put lies about its outcome when the stream's leader is killed, and rows added meanwhile are due everywhere",
  async () => {
    const name = freshName();
    const nodes = [await open(name), await open(name)];
    let stored = 0;
    let unsure = 0;
    let killed = false;
    const users = ["sara", "omid", "mina"];
    const added: string[] = [];
    const counting = Promise.all(users.flatMap((userId) =>
      nodes.map(async (node) => {
        for (let round = 0; round < 400 && !(killed && round > 200); round++) {
          const count = await countUp(node, userId, 1);
          stored += count.stored;
          unsure += count.unsure;
        }
      })
    ));
    const adding = (async () => {
      for (let index = 0; index < 60; index++) {
        const id = `push ${index}`;
        try {
          const record = await nodes[0]!.users.get("pushed") ?? user("pushed");
          if (await nodes[0]!.users.put(record, "both", [newRow(id, { userId: "pushed" })]) !== undefined) added.push(id);
        } catch (error) {
          expect(error).toMatchObject({ code: "unavailable" });
        }
      }
    })();
    await until(() => stored > 100 && added.length > 5, "puts are under way");
    const leader = await leaderOf(name);
    await cluster.servers.find((server) => server.name === leader)!.kill();
    killed = true;
    await Promise.all([counting, adding]);
    const found = await Promise.all(users.map((userId) => nodes[1]!.users.get(userId)));
    const total = found.reduce((sum, record) => sum + record!.seenAt, 0);
    console.log(`puts: ${stored} stored, ${unsure} unsure, ${total} found; ${added.length} pushes`);
    expect(total).toBeGreaterThanOrEqual(stored);
    expect(total).toBeLessThanOrEqual(stored + unsure);
    for (const node of nodes) {
      await until(async () => {
        const ids = new Set((await node.outbox.due(Infinity, 1_000)).rows.map(({ id }) => id));
        return added.every((id) => ids.has(id));
      }, "all pushes are due");
    }
    for (const node of nodes) await node.close();
  },
  90_000,
);
