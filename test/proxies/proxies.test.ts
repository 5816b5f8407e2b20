import { connect as connectTls } from "node:tls";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import WebSocket from "ws";
import { type GatewayOptions, serveNode } from "../../adapters/node.ts";
import { createEngine, type Credentials, type EngineOptions } from "../../mod.ts";
import { connect, type Status } from "../../src/client/client.ts";
import { httpServer } from "../gateway_adapters/http_server.ts";
import { handshake } from "../gateway_adapters/raw_client.ts";
import { certificate } from "../tls/certificate.ts";
import { type ProxyName, proxyNames } from "./proxies.ts";
import { type Changes, type Proxy, startProxy } from "./proxy.ts";

const until = (condition: () => unknown) => vi.waitFor(() => expect(condition()).toBeTruthy(), { timeout: 30_000, interval: 10 });

/** An engine on a server for a proxy to stand before: what its log says of refusals, and what authenticate() is asked with. */
async function served(gateway: GatewayOptions, options: EngineOptions = {}) {
  const log: Record<string, unknown>[] = [];
  const asked: Credentials[] = [];
  const note = (_message: string, fields?: Record<string, unknown>) => void log.push({ ...fields });
  const engine = await createEngine({
    authenticate(credentials) {
      asked.push(credentials);
      return { userId: "sara" };
    },
    logger: { info() {}, warn: note, error: note },
    ...options,
  });
  const { server, port } = await httpServer();
  serveNode(engine, server, gateway);
  onTestFinished(() => engine.close());
  return { engine, log, asked, port };
}

/** The project's own client, as a page of `origin`, through a proxy. */
function client({ port }: Proxy, origin = `https://localhost:${port}`, headers: Record<string, string> = {}) {
  const counts = { frames: 0, sockets: 0 };
  class Page extends WebSocket {
    constructor(url: string, protocols: string[]) {
      super(url, protocols, { ca: certificate, family: 4, origin, headers });
      counts.sockets++;
      this.on("message", () => void counts.frames++);
    }
  }
  const peyk = connect(`wss://localhost:${port}/peyk`, { token: "t", WebSocket: Page });
  onTestFinished(() => peyk.close());
  const contents: (string | undefined)[] = [];
  const statuses: Status[] = [];
  peyk.onMessage(({ content }) => void contents.push(content));
  peyk.onStatus((status) => void statuses.push(status));
  const state = () => statuses.at(-1)?.state;
  return { peyk, contents, statuses, counts, state };
}

/** What an upgrade is answered, with these headers. */
function answer({ port }: Proxy, headers: Record<string, string>): Promise<string> {
  const socket = connectTls({ port, host: "127.0.0.1", servername: "localhost", ca: certificate });
  onTestFinished(() => void socket.destroy());
  socket.write(handshake({ Host: `localhost:${port}`, ...headers }));
  let text = "";
  return new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.on("data", (chunk) => {
      text += chunk;
      const [head, body] = text.split("\r\n\r\n");
      if (
        /^HTTP\/1\.1 101 /.test(text) ||
        (body !== undefined && body.length >= Number(/content-length: (\d+)/i.exec(head!)?.[1] ?? 1))
      ) {
        resolve(text);
      }
    });
  });
}

/** What a reload does to a connection (it is kept, or not), with which configuration before it and after it. */
const reloads: Readonly<Record<ProxyName, [string, boolean, Changes, Changes][]>> = {
  nginx: [
    ["kept", true, {}, { "location / {": "location / { add_header X-Reloaded 1 always;" }],
    [
      "cut after worker_shutdown_timeout",
      false,
      { "worker_shutdown_timeout 1h;": "worker_shutdown_timeout 1s;" },
      { "location / {": "location / { add_header X-Reloaded 1 always;" },
    ],
  ],
  haproxy: [
    ["kept", true, {}, { "backend engines": "backend engines\n  http-response add-header X-Reloaded 1" }],
    [
      "cut after hard-stop-after",
      false,
      { "hard-stop-after 1h": "hard-stop-after 1s" },
      { "backend engines": "backend engines\n  http-response add-header X-Reloaded 1" },
    ],
  ],
  caddy: [["cut", false, {}, { "reverse_proxy ": "header X-Reloaded 1\n  reverse_proxy " }]],
};

describe.each(proxyNames)("behind %s, as docs/operations.md has it,", (name) => {
  test("a page of its host connects, gets each message by itself, and publishes", async () => {
    const { engine, port, asked, log } = await served({ trustProxy: "loopback" });
    const proxy = await startProxy(name, port);
    const { peyk, contents, state } = client(proxy);
    await until(() => state() === "connected");
    expect(asked[0]?.request?.url).toBe(`https://localhost:${proxy.port}/peyk`);
    expect(asked[0]?.request?.remoteAddress).toBe("127.0.0.1");
    for (let i = 0; i < 10; i++) {
      await engine.publish({ to: "sara", content: `${i}` });
      await until(() => contents.length === i + 1);
    }
    await peyk.publish({ to: "sara", content: "x".repeat(30_000) });
    await until(() => contents.length === 11);
    expect(contents.slice(0, 10)).toEqual(Array.from({ length: 10 }, (_, i) => `${i}`));
    expect(log).toEqual([]);
  });

  test("a page of another origin is refused, whatever it says to be forwarded for", async () => {
    const { engine, port, log } = await served({ trustProxy: "loopback" });
    const proxy = await startProxy(name, port);
    const evil = { Origin: "https://evil.test" };
    const lies = {
      "X-Forwarded-Host": "evil.test",
      "X-Forwarded-Port": "443",
      "X-Forwarded-Proto": "https",
      Forwarded: "host=evil.test",
    };
    for (const headers of [evil, { ...evil, ...lies }]) expect(await answer(proxy, headers)).toMatch(/^HTTP\/1\.1 403 /);
    expect(engine.counters().refused.origin).toBe(2);
    expect(log).toMatchObject([{ reason: "origin", what: `https://evil.test at localhost:${proxy.port}` }]);
  });

  test("a client can't choose its address", async () => {
    // This machine's own address is both the proxy's and the client's here, so that only the proxy is to be trusted.
    const { port, asked } = await served({ trustProxy: (address, hop) => hop === 0 && address === "127.0.0.1" });
    const proxy = await startProxy(name, port);
    for (const lie of ["192.0.2.66", "192.0.2.66, 192.0.2.67", "garbage"]) {
      const { state, peyk } = client(proxy, undefined, { "X-Forwarded-For": lie });
      await until(() => state() === "connected");
      expect(asked.at(-1)?.request?.remoteAddress).toBe("127.0.0.1");
      await peyk.close();
    }
    expect(asked).toHaveLength(3);
  });

  test.each(reloads[name])("a reload loses nothing (%s)", async (_what, isKept, changes, reloaded) => {
    const { engine, port } = await served({ trustProxy: "loopback" });
    const proxy = await startProxy(name, port, changes);
    const old = client(proxy);
    await until(() => old.state() === "connected");
    let sent = 0;
    const publish = async () => void await engine.publish({ to: "sara", content: `${sent++}` });
    await publish();
    await proxy.reload(reloaded);
    // What the reloaded proxy adds to its answers shows that it is at work.
    await vi.waitFor(async () => {
      await publish();
      expect(await answer(proxy, { Origin: "https://evil.test" })).toMatch(/x-reloaded/i);
    }, 30_000);
    if (!isKept) await until(() => old.counts.sockets > 1 && old.state() === "connected");
    await publish();
    await until(() => old.contents.length === sent);
    expect(old.contents).toEqual(Array.from({ length: sent }, (_, i) => `${i}`));
    expect(old.counts.sockets).toBe(isKept ? 1 : 2);
  });
});

const shortened: Readonly<Record<string, Changes>> = {
  nginx: { "proxy_read_timeout 60s;": "proxy_read_timeout 2s;" },
  haproxy: { "timeout tunnel 60s": "timeout tunnel 2s" },
};

describe.each(Object.keys(shortened) as ("nginx" | "haproxy")[])("an idle time-out of 2 s of %s", (name) => {
  test("never strikes when the heartbeat is 1 s", async () => {
    const { port } = await served({ trustProxy: "loopback" }, { heartbeatMs: 1_000 });
    const { counts, state } = client(await startProxy(name, port, shortened[name]));
    await until(() => state() === "connected" && counts.frames >= 6);
    expect(counts.sockets).toBe(1);
  });

  test("cuts connections when the heartbeat is longer, and they come back with nothing lost", async () => {
    const { engine, port } = await served({ trustProxy: "loopback" });
    const { contents, counts, statuses, state } = client(await startProxy(name, port, shortened[name]));
    await until(() => state() === "connected");
    await engine.publish({ to: "sara", content: "before" });
    await until(() => state() === "waiting");
    expect(statuses.at(-1)).toMatchObject({ reason: "lost" });
    await engine.publish({ to: "sara", content: "meanwhile" });
    await until(() => state() === "connected" && contents.length === 2);
    expect(contents).toEqual(["before", "meanwhile"]);
    expect(counts.sockets).toBeGreaterThan(1);
  });
});

describe("nginx that does not pass the host on", () => {
  const withoutPort: Changes = { "proxy_set_header Host $http_host;": "proxy_set_header Host $host;" };
  const withoutHost: Changes = { "proxy_set_header Host $http_host;": "" };
  const silent: Changes = { "proxy_set_header X-Forwarded-Host $http_host;": "" };

  test.each([["its port", withoutPort, "localhost"], ["it at all", withoutHost, "engines"]])(
    "(%s): 403 that names trustProxy, and with it the page is let in",
    async (_what, changes, host) => {
      const untrusting = await served({});
      const first = await startProxy("nginx", untrusting.port, changes);
      const origin = `https://localhost:${first.port}`;
      const refused = await answer(first, { Origin: origin });
      expect(refused).toMatch(/^HTTP\/1\.1 403 [^]*`trustProxy`/);
      expect(untrusting.log).toMatchObject([{
        reason: "origin",
        what: `${origin} at ${host}, forwarded for localhost:${first.port} by 127.0.0.1`,
        hint: expect.stringContaining("`trustProxy`"),
      }]);

      const trusting = await served({ trustProxy: "loopback" });
      const { state } = client(await startProxy("nginx", trusting.port, changes));
      await until(() => state() === "connected");
      expect(trusting.log).toEqual([]);
    },
  );

  test("and says nothing else: 403 that says that the port was lost", async () => {
    const { port, log } = await served({ trustProxy: "loopback" });
    const proxy = await startProxy("nginx", port, { ...withoutPort, ...silent });
    const origin = `https://localhost:${proxy.port}`;
    expect(await answer(proxy, { Origin: origin })).toMatch(/^HTTP\/1\.1 403 [^]*Only the port differs[^]*\$http_host/);
    expect(log).toMatchObject([{
      reason: "origin",
      what: `${origin} at localhost`,
      hint: expect.stringContaining("$http_host"),
    }]);
  });
});
