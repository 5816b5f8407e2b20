import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { serveNode } from "../../adapters/node.ts";
import { sqlite } from "../../adapters/sqlite/sqlite.ts";
import { verifyWebhook, webhook, type WebhookDelivery } from "../../adapters/webhook.ts";
import { createEngine, type Engine, type EngineOptions } from "../../mod.ts";
import { connect, type ConnectOptions, type Message } from "../../src/client/client.ts";

const secret = "a secret of the test only";

test("over a restart on a sqlite file: what waited is pushed by a signed webhook, and the device goes on where it was", async () => {
  const path = await databasePath();
  const pushes = await webhookReceiver();
  const options: EngineOptions = {
    insecure: true,
    push: [webhook({ url: pushes.url, secret, allowLoopback: true })],
    policy: { graceMs: 300, ackTimeoutMs: 300 },
  };
  const storage = clientStorage();

  const first = await start({ ...options, storage: sqlite(path) });
  const before = client(first.url, { token: "sara", storage });
  const one = await engineSays(first.engine, before.peyk, "one");
  await before.peyk.registerPush({ provider: "webhook", token: "sara's phone" });
  await before.until(one.id);
  await first.engine.publish({ to: "*", channel: "nobody", content: "nobody reads this" });
  await first.stop();
  await before.peyk.close();

  const second = await start({ ...options, storage: sqlite(path) });
  const two = await second.engine.publish({ to: "sara", content: "two" });
  expect(two).toMatchObject({
    durable: true,
    durability: "disk",
    position: { epoch: one.position!.epoch, offset: one.position!.offset + 1 },
  });
  const push = await pushes.next();
  expect(push).toMatchObject({
    token: "sara's phone",
    userId: "sara",
    id: two.id,
    topic: "sara/default",
    position: two.position,
  });

  const after = client(second.url, { token: "sara", storage });
  await after.until(two.id);
  expect(after.ids).toEqual([two.id]);
  await second.stop();
  await after.peyk.close();
  expect(pushes.waiting).toBe(0);
});

test("a kill -9 of the engine loses no message whose receipt said durable", async () => {
  const path = await databasePath();
  const promised = await killedAfter(2_000, path);
  expect(promised.every(({ durable }) => durable === "true")).toBe(true);

  const { engine, url, stop } = await start({ insecure: true, storage: sqlite(path) });
  const { peyk, until, ids } = client(url, { token: "sara" });
  const last = await engine.publish({ to: "sara", content: "last" });
  await until(last.id);
  const got = new Set(ids);
  expect(promised.filter(({ id }) => !got.has(id))).toEqual([]);
  expect(got.size).toBe(ids.length);
  await stop();
  await peyk.close();
});

test(
  "1,000 messages to 20 people over real sockets: each device gets each once, in order, while sockets are cut at random",
  async () => {
    const { engine, url, server, stop } = await start({ insecure: true, storage: sqlite(await databasePath()) });
    const people = Array.from({ length: 20 }, (_, i) => `person ${i}`);
    for (const person of people) await engine.subscribe(person, { to: "*", channel: "news" });
    const clients = people.map((token) => client(url, { token, storage: clientStorage() }));
    const sockets = new Set<import("node:stream").Duplex>();
    server.on("connection", (socket) => sockets.add(socket));
    await Promise.all(clients.map(({ connected }) => connected));
    const ids: string[] = [];
    for (let i = 0; i < 1_000; i++) {
      ids.push((await engine.publish({ to: "*", channel: "news", data: i })).id);
      if (i % 97 === 0) { for (const socket of [...sockets].slice(i % 7, (i % 7) + 5)) socket.destroy(); }
    }
    await Promise.all(clients.map(({ until }) => until(ids.at(-1)!)));
    for (const client of clients) expect(client.ids).toEqual(ids);
    expect(engine.counters().attached).toBeGreaterThan(people.length);
    await stop();
    await Promise.all(clients.map(({ peyk }) => peyk.close()));
  },
  60_000,
);

/** Runs the engine of crash_child.ts until it has said that many receipts, kills it, and gives every receipt it said. */
async function killedAfter(count: number, path: string): Promise<{ id: string; durable: string }[]> {
  const script = fileURLToPath(new URL("./crash_child.ts", import.meta.url));
  const args = "Deno" in globalThis ? ["run", "-A", "--no-check", script, path] : [script, path];
  const child: ChildProcess = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout!.setEncoding("utf8").on("data", (text: string) => {
    said += text;
    if (said.split("\n").length > count) child.kill("SIGKILL");
  });
  await new Promise((resolve) => child.on("close", resolve));
  // The last line may have been cut off.
  return said.split("\n").slice(0, -1).map((line) => ({ id: line.split(" ")[0]!, durable: line.split(" ")[1]! }));
}

async function start(options: EngineOptions): Promise<{ engine: Engine; url: string; server: Server; stop(): Promise<void> }> {
  const engine = await createEngine(options);
  const server = createServer();
  const gateway = serveNode(engine, server, { path: "/peyk" });
  const url = await listen(server);
  return {
    ...{ engine, server, url: `${url.replace("http", "ws")}/peyk` },
    async stop() {
      await engine.close();
      gateway.close();
      server.close();
      server.closeAllConnections();
    },
  };
}

function client(url: string, options: ConnectOptions) {
  const peyk = connect(url, options);
  const ids: string[] = [];
  const waiting = new Map<string, () => void>();
  const connected = new Promise<void>((resolve) => peyk.onStatus(({ state }) => state === "connected" && resolve()));
  peyk.onMessage(({ id }: Message) => {
    ids.push(id);
    waiting.get(id)?.();
  });
  const until = async (id: string): Promise<void> => {
    if (!ids.includes(id)) await new Promise<void>((resolve) => waiting.set(id, resolve));
  };
  return { peyk, ids, connected, until };
}

/** Publishes once the client is there. */
async function engineSays(engine: Engine, peyk: ReturnType<typeof connect>, content: string) {
  await new Promise<void>((resolve) => peyk.onStatus(({ state }) => state === "connected" && resolve()));
  return await engine.publish({ to: "sara", content });
}

/** What a page's localStorage does. */
function clientStorage(): NonNullable<ConnectOptions["storage"]> {
  const items = new Map<string, string>();
  return { get: (key) => items.get(key), set: (key, value) => void items.set(key, value) };
}

async function webhookReceiver(): Promise<{ url: string; next(): Promise<WebhookDelivery>; readonly waiting: number }> {
  const arrived: WebhookDelivery[] = [];
  let wake = (): void => {};
  const server = createServer(async (request, response) => {
    const delivery = verifyWebhook({ headers: request.headers, body: await bodyOf(request), secret });
    response.writeHead(delivery === undefined ? 401 : 204).end();
    if (delivery !== undefined) arrived.push(delivery);
    wake();
  });
  const url = await listen(server);
  onTestFinished(() => void server.close());
  return {
    url,
    async next() {
      while (arrived.length === 0) await new Promise<void>((resolve) => wake = resolve);
      return arrived.shift()!;
    },
    get waiting() {
      return arrived.length;
    },
  };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const chunk of request) body += chunk;
  return body;
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function databasePath(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "peyk-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return join(folder, "peyk.db");
}
