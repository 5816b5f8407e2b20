// One engine of a cluster in a process of its own, for the tests that kill and stop it. It takes commands as lines of JSON and
// answers in the same way, see engine_node.ts. When whoever started it is gone, it ends.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { argv, exit, stdin, stdout } from "node:process";
import { createInterface } from "node:readline";
import { connect } from "@nats-io/transport-node";
import { jetstream } from "../../adapters/jetstream/jetstream.ts";
import { serveNode } from "../../adapters/node.ts";
import { webhook } from "../../adapters/webhook.ts";
import { createEngine, type OpenStorage, type OutgoingMessage, PeykError, type Storage } from "../../mod.ts";
import type { Command, Fault, NodeConfig, Report, Reports } from "./engine_node.ts";

const { servers, pushUrl, pushSecret, policy, heartbeatMs } = JSON.parse(argv[2]!) as NodeConfig;

let reports: Report[] = [];
let opened: OpenStorage;

function say(report: Report): void {
  if (reports.push(report) > 1) return;
  setImmediate(() => {
    stdout.write(JSON.stringify(reports satisfies Reports) + "\n");
    reports = [];
  });
}

/** Lets the test see into the storage, and tells of each renewal of the lease: from then on the others count. */
function watched(storage: Storage): Storage {
  return {
    async open(context) {
      opened = await storage.open(context);
      const { users } = opened;
      const lease = users.lease.bind(users);
      users.lease = async (node, ms) => {
        const at = Date.now();
        await lease(node, ms);
        say({ type: "lease", at });
      };
      return opened;
    },
  };
}

function faultOf(error: unknown): Fault {
  if (error instanceof PeykError) return { code: error.code, retryable: error.retryable, message: error.message };
  return { code: "internal", retryable: false, message: String(error) };
}

const log = (level: string) => (message: string, fields?: Readonly<Record<string, unknown>>): void => {
  const { error, ...rest } = fields ?? {};
  const cause = error instanceof Error ? `${error.message} ${String(error.cause ?? "")}` : error;
  say({
    type: "log",
    line: `${new Date().toISOString().slice(14, 23)} ${level} ${message} ${JSON.stringify({ ...rest, cause })}`,
  });
};

// A silent server is noticed within 6 s, and one that does not greet is not waited for.
const connection = await connect({
  ...{ servers, noRandomize: true, maxReconnectAttempts: -1, reconnectTimeWait: 250, pingInterval: 2_000, timeout: 2_000 },
});
const engine = await createEngine({
  ...{ insecure: true, policy, heartbeatMs },
  storage: watched(jetstream({ connection, replicas: 3 })),
  push: [webhook({ url: pushUrl, secret: pushSecret, allowLoopback: true })],
  logger: { info: () => {}, warn: log("warn"), error: log("error") },
});
const server = createServer();
serveNode(engine, server, { path: "/peyk" });
server.listen(0, "127.0.0.1", () => say({ type: "ready", port: (server.address() as AddressInfo).port }));

async function publish(message: OutgoingMessage & { id: string }): Promise<void> {
  const { id } = message;
  try {
    const { position, durable } = await engine.publish(message);
    say({ type: "published", id, position: position!, durable });
  } catch (error) {
    say({ type: "published", id, fault: faultOf(error) });
  }
}

async function run(command: Command): Promise<unknown> {
  switch (command.type) {
    case "publish":
      return await Promise.all(command.messages.map(publish));
    case "subscribe":
      return await Promise.all(
        command.userIds.map((userId) => engine.subscribe(userId, { to: "*", channel: command.channel })),
      );
    case "records":
      return await Promise.all(command.userIds.map((userId) => opened.users.get(userId)));
    case "rows":
      return await Promise.all(command.messageIds.map((id) => opened.outbox.ofMessage(id)));
    case "counters":
      return engine.counters();
    case "close":
      await engine.close();
      await connection.close();
      exit(0);
  }
}

const input = createInterface({ input: stdin });
input.on("close", () => exit(1));
input.on("line", (line) => {
  const { ref, command } = JSON.parse(line) as { ref: number; command: Command };
  run(command).then(
    (value) => command.type !== "publish" && say({ type: "answer", ref, value }),
    (error) => say({ type: "answer", ref, fault: faultOf(error) }),
  );
});
