import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { serveNode } from "../../adapters/node.ts";
import { sqlite } from "../../adapters/sqlite/sqlite.ts";
import { createEngine, type Engine } from "../../mod.ts";
import type { PushProvider } from "../../src/ports/push_provider.ts";
import { createFolder } from "../storage/folder.ts";
import { findPython } from "./find_python.ts";
import { PythonClient, type PythonState } from "./python.ts";

const python = findPython();
if ("missing" in python) console.warn(`examples/python is not tested: ${python.missing}`);

/** An address that leads to whichever node is there now, and cuts connections when it is told to. */
async function address() {
  const sockets = new Set<Socket>();
  let port: number | undefined;
  const server = createServer((socket) => {
    if (port === undefined) return socket.destroy();
    const there = connectTcp(port, "127.0.0.1");
    for (const [one, other] of [[socket, there], [there, socket]] as const) {
      sockets.add(one);
      one.pipe(other);
      one.on("error", () => {}).on("close", () => (sockets.delete(one), other.destroy()));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/peyk`,
    leadTo: (next: number | undefined) => void (port = next),
    cut: () => sockets.forEach((socket) => socket.destroy()),
  };
}

/** A node on a file of its own. */
async function node(file: string, pushed: string[]): Promise<{ engine: Engine; port: number }> {
  const provider: PushProvider = {
    name: "test",
    send: ({ token }, { id }) => Promise.resolve((pushed.push(`${token} ${id}`), { verdict: "sent" })),
  };
  const policy = { ackTimeoutMs: 1_000, activeElsewhereMs: 0, drainWindowMs: 1_000 };
  const engine = await createEngine({ insecure: true, storage: sqlite(file), push: [provider], policy });
  const http = createHttpServer();
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  serveNode(engine, http);
  onTestFinished(async () => {
    await engine.close();
    http.close();
  });
  return { engine, port: (http.address() as AddressInfo).port };
}

async function stage() {
  const { path } = python as { path: string };
  const folder = createFolder();
  onTestFinished(() => folder.remove());
  const file = join(folder.path, "peyk.db");
  const pushed: string[] = [];
  const door = await address();
  const first = await node(file, pushed);
  door.leadTo(first.port);
  const client = (token: string, kept: unknown = null) => {
    const client = new PythonClient(path, door.url, token, kept);
    onTestFinished(() => client.kill());
    return client;
  };
  return { ...first, door, file, pushed, client };
}

/** Waits until the client shows this. */
async function shows(client: PythonClient, state: object): Promise<PythonState> {
  await vi.waitFor(async () => expect(await client.state()).toMatchObject(state), { timeout: 20_000, interval: 20 });
  return await client.state();
}

describe.skipIf("missing" in python)("the client in Python, at an engine", () => {
  test("subscribes, publishes, acks, marks and hears of it", async () => {
    const { engine, client } = await stage();
    const [sara, omid] = [client("sara"), client("omid")];
    await shows(sara, { statuses: [["connected", "sara"]] });
    await shows(omid, { statuses: [["connected", "omid"]] });
    await sara.ask("join", "subscribe", ["*", "news"]);
    await omid.ask("hello", "publish", ["sara", "hello"], { id: "m1", urgency: "low", ttl: 60 });
    await engine.publish({ to: "*", channel: "news", content: "from the server" });
    await shows(omid, { answers: { hello: "ok" }, receipts: [["delivered", "m1"]] });
    await shows(sara, { answers: { join: "ok" } });
    await engine.publish({ to: "*", channel: "news", content: "more" });
    await vi.waitFor(async () => expect((await sara.state()).handled.sort()).toEqual(expect.arrayContaining(["hello", "more"])));
    await sara.ask("mark", "mark", ["read", { message: "hello" }]);
    await shows(omid, { receipts: [["delivered", "m1"], ["read", "m1"]] });
    await sara.ask("odd", "mark", ["liked", { message: "hello" }]);
    await sara.ask("leave", "unsubscribe", ["*", "news"]);
    await omid.ask("nobody", "publish", ["nobody", "hi"]);
    await omid.ask("now", "publish", ["sara", "now"], { ephemeral: true });
    await shows(omid, { answers: { hello: "ok", nobody: "no-recipient", now: "ok" } });
    const { handled } = await shows(sara, { answers: { mark: "ok", odd: "unsupported", leave: "ok" } });
    await engine.publish({ to: "*", channel: "news", content: "not for sara" });
    await engine.publish({ to: "sara", content: "last" });
    await vi.waitFor(async () =>
      expect((await sara.state()).handled).toEqual(
        [...handled, "now", "last"].filter((content, at, all) => all.indexOf(content) === at),
      )
    );
    expect((await engine.counters()).gaps).toBe(0);
  });

  test("registers for pushes, and is pushed to in the background and when it has left", async () => {
    const { engine, client, pushed } = await stage();
    const sara = client("sara");
    await shows(sara, { statuses: [["connected", "sara"]] });
    await sara.ask("register", "register_push", ["test", "t1"], { locale: "fa" });
    await sara.ask("none", "register_push", ["nobody", "t1"]);
    await shows(sara, { answers: { register: "ok", none: "no-provider" } });
    await engine.publish({ to: "sara", id: "m1", content: "in front" });
    await shows(sara, { handled: ["in front"] });
    await sara.do("hides");
    await vi.waitFor(async () => expect(await engine.sessions("sara")).toMatchObject([{ state: "backgrounded" }]));
    await engine.publish({ to: "sara", id: "m2", content: "in the background" });
    await vi.waitFor(() => expect(pushed).toEqual(["t1 m2"]), { timeout: 10_000 });
    await shows(sara, { handled: ["in front", "in the background"] });
    await sara.do("shows");
    await vi.waitFor(async () => expect(await engine.sessions("sara")).toMatchObject([{ state: "connected.live" }]));
    await sara.do("close");
    await shows(sara, { ended: true });
    await vi.waitFor(async () => expect(await engine.sessions("sara")).toMatchObject([{ state: "disconnected.away" }]));
    await engine.publish({ to: "sara", id: "m3", content: "away" });
    await vi.waitFor(() => expect(pushed).toEqual(["t1 m2", "t1 m3"]), { timeout: 10_000 });
  });

  test("resumes after its connection was cut, and in its next life: each message once, each request once", async () => {
    const { engine, door, client } = await stage();
    const sara = client("sara");
    await client("omid").state();
    await shows(sara, { statuses: [["connected", "sara"]] });
    await engine.publish({ to: "sara", content: "1" });
    await shows(sara, { handled: ["1"] });
    for (let round = 2; round <= 5; round++) {
      door.cut();
      await engine.publish({ to: "sara", content: `${round}` });
      for (const half of ["a", "b"]) await sara.ask(`${round}${half}`, "publish", ["sara", `${round}${half}`]);
      await vi.waitFor(
        async () => expect((await sara.state()).answers).toMatchObject({ [`${round}a`]: "ok", [`${round}b`]: "ok" }),
        {
          timeout: 20_000,
        },
      );
    }
    const all = [1, 2, 3, 4, 5].flatMap((round) => round === 1 ? ["1"] : [`${round}`, `${round}a`, `${round}b`]);
    await vi.waitFor(async () => expect((await sara.state()).handled.toSorted()).toEqual(all.toSorted()), { timeout: 20_000 });
    const { handled, gaps } = await sara.state();
    expect(handled.filter((content) => content.length === 2)).toEqual(all.filter((content) => content.length === 2));
    expect(gaps).toEqual([]);
    await sara.do("close");
    const { kept } = await shows(sara, { ended: true });
    await engine.publish({ to: "sara", content: "while away" });
    const again = client("sara", kept);
    await shows(again, { handled: ["while away"], gaps: [] });
    expect(await engine.sessions("sara")).toHaveLength(1);
  });

  test("leaves a draining node before it is closed, and goes on at the next one", async () => {
    const { engine, door, file, client, pushed } = await stage();
    const sara = client("sara");
    await shows(sara, { statuses: [["connected", "sara"]] });
    await sara.ask("register", "register_push", ["test", "t1"]);
    await engine.publish({ to: "sara", content: "1" });
    await shows(sara, { handled: ["1"], answers: { register: "ok" } });
    door.leadTo(undefined);
    await engine.drain();
    expect(engine.counters().connections).toBe(0);
    await engine.close();
    const next = await node(file, pushed);
    await next.engine.publish({ to: "sara", content: "2" });
    door.leadTo(next.port);
    const { statuses } = await shows(sara, { handled: ["1", "2"], gaps: [] });
    // It left by itself, before the node was closed.
    expect(statuses).not.toContainEqual(["waiting", "4000"]);
    expect(pushed).toEqual([]);
  });

  test("logs out: it does not come back, and its target is released", async () => {
    const { engine, client, pushed } = await stage();
    const sara = client("sara");
    await shows(sara, { statuses: [["connected", "sara"]] });
    await sara.ask("register", "register_push", ["test", "t1"]);
    await shows(sara, { answers: { register: "ok" } });
    await sara.ask("logout", "logout");
    await shows(sara, { ended: true, answers: { register: "ok", logout: "ok" } });
    expect(await engine.sessions("sara")).toEqual([]);
    await engine.publish({ to: "sara", content: "unheard" });
    expect((await sara.state()).kept).toMatchObject({ user: null, cursors: [] });
    expect(pushed).toEqual([]);
  });

  test("ends when its token is refused", async () => {
    const { client } = await stage();
    const nobody = client("");
    await shows(nobody, { ended: true, statuses: [["closed", "4100"]] });
  });
});
