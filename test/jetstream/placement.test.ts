// Servers that are away when the first engine makes its streams.
import { afterEach, beforeEach, expect, test } from "vitest";
import type { JetStreamConnection } from "../../adapters/jetstream/jetstream.ts";
import { type NatsCluster, startCluster } from "../nats/servers.ts";
import { type NodeOfLogs, startNode } from "./stage.ts";
import { altered, connect, createContext, freshName, openNode, type StateNode, until } from "./state_stage.ts";

let cluster: NatsCluster;
beforeEach(async () => {
  cluster = await startCluster(3);
});
afterEach(() => cluster.close());

/** A node of which logs and state are being opened. */
interface Opening {
  readonly logs: Promise<NodeOfLogs>;
  readonly state: Promise<StateNode>;
  /** Streams that NATS was asked to make, once for each time. */
  readonly asked: readonly string[];
  close(): Promise<void>;
}

async function open(replicas: number): Promise<Opening> {
  const name = freshName();
  const asked: string[] = [];
  const watched = (connection: JetStreamConnection): JetStreamConnection =>
    altered(connection, {
      publish(subject, payload, options) {
        const [, stream] = /^\$JS\.API\.STREAM\.CREATE\.\w+?_(\w+)$/.exec(subject) ?? [];
        if (stream !== undefined) asked.push(stream);
        connection.publish(subject, payload, options);
      },
    });
  const connection = await connect(cluster.urls);
  const logs = startNode(cluster.urls, { name, replicas }, undefined, watched);
  const state = openNode({ connection: watched(connection), name, replicas, context: createContext() });
  return {
    ...{ logs, state, asked },
    async close() {
      await logs.then((node) => node[Symbol.asyncDispose](), () => {});
      await state.then((node) => node.close(), () => {});
      await connection.close();
    },
  };
}

/** Opens a node, and lets servers come back when NATS has refused each stream. */
async function openMeanwhile(comeBack: () => Promise<unknown>): Promise<void> {
  const opening = await open(3);
  const both = Promise.all([opening.logs, opening.state]);
  try {
    for (const stream of ["LOG_0", "STATE"]) {
      const again = until(() => opening.asked.filter((asked) => asked === stream).length > 1, `${stream} is asked for again`);
      await Promise.race([both, again]);
    }
    await comeBack();
    await both;
  } finally {
    await opening.close();
  }
}

test("streams are made as soon as enough servers are back, of those that left", async () => {
  const leader = await cluster.ready();
  const others = cluster.servers.filter((server) => server !== leader);
  await Promise.all(others.map((server) => server.stop()));
  await openMeanwhile(() => Promise.all(others.map((server) => server.restart())));
});

test("streams are made as soon as the last server has started, of a cluster that has only just come up", async () => {
  const [late, ...early] = cluster.servers;
  await Promise.all(cluster.servers.map((server) => server.kill()));
  await Promise.all(early.map((server) => server.restart()));
  await cluster.ready();
  await openMeanwhile(() => late!.restart());
});

test("fewer servers than replicas are a wrong configuration, and it is said at once", async () => {
  // When a stream has its place on three servers, the leader has heard of all three.
  const enough = await open(3);
  await Promise.all([enough.logs, enough.state]);
  await enough.close();
  const { logs, state, asked, close } = await open(5);
  for (const result of await Promise.allSettled([logs, state])) {
    expect(result).toMatchObject({
      status: "rejected",
      reason: {
        code: "bad-config",
        retryable: false,
        message: expect.stringMatching(/no suitable peers/),
        hint: expect.stringMatching(/replicas/),
      },
    });
  }
  expect([...asked].sort()).toEqual(["LOG_0", "STATE"]);
  await close();
});
