import type { IncomingMessage } from "node:http";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { type GatewayOptions, serveDeno } from "../../adapters/deno.ts";
import { serveNode, upgradeHandler } from "../../adapters/node.ts";
import { type Acceptor, createEngine, type Credentials, PeykError } from "../../mod.ts";
import { encodeClientFrame } from "../../src/protocol/codec.ts";
import { helloFrame } from "../gateway/wire.ts";
import { hop } from "./hop.ts";
import { httpServer } from "./http_server.ts";
import { handshake, RawClient, rawFrame } from "./raw_client.ts";

const until = (condition: () => unknown) => vi.waitFor(() => expect(condition()).toBeTruthy(), { timeout: 15_000, interval: 5 });

/** The ways in which this runtime serves an engine: each gives the port. */
const servers: Record<string, (engine: Acceptor, options: GatewayOptions) => Promise<number>> = {
  async serveNode(engine, options) {
    const { server, port } = await httpServer();
    serveNode(engine, server, options);
    return port;
  },
  async upgradeHandler(engine, options) {
    const { server, port } = await httpServer();
    const handleUpgrade = upgradeHandler(engine, options);
    server.on("upgrade", (request, socket, head) => void (handleUpgrade(request, socket, head) || socket.destroy()));
    return port;
  },
};
if ("Deno" in globalThis) {
  servers.serveDeno = (engine, options) => {
    const peyk = serveDeno(engine, options);
    const handler: Deno.ServeHandler = (request, info) => peyk(request, info) ?? new Response("the app");
    const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => undefined }, handler);
    onTestFinished(() => server.shutdown());
    return Promise.resolve(server.addr.port);
  };
}

/** An engine behind a gateway: what its log says of refusals, and what authenticate() is asked with. */
async function served(name: string, options: GatewayOptions) {
  const log: Record<string, unknown>[] = [];
  const asked: Credentials[] = [];
  const engine = await createEngine({
    authenticate: (credentials) => {
      asked.push(credentials);
      return { userId: "sara" };
    },
    logger: {
      info() {},
      warn: (_message, fields) => void log.push({ ...fields }),
      error: (_message, fields) => void log.push({ ...fields }),
    },
  });
  onTestFinished(() => engine.close());
  return { port: await servers[name]!(engine, options), engine, log, asked };
}

/** What the proxy makes of the host that it is asked for. */
const proxies = {
  "no Host of the client": (): Record<string, string> => ({ host: "127.0.0.1:3000" }),
  "Host without its port": ({ headers }: IncomingMessage): Record<string, string> => ({ host: headers.host!.split(":")[0]! }),
};
const forwarding = ({ headers }: IncomingMessage): Record<string, string> => ({
  "x-forwarded-host": headers.host!,
  "x-forwarded-proto": "https",
  "x-forwarded-for": `${headers["x-forwarded-for"] ?? "192.0.2.7"}, 198.51.100.4`,
});

const page = { Host: "a.test:8443", Origin: "https://a.test:8443" };
const hello = rawFrame({ payload: encodeClientFrame(helloFrame("device")) });

describe.each(Object.keys(servers))("behind a proxy that passes on, %s", (name) => {
  test.each(Object.entries(proxies))("%s, a page of its host is refused, and let in with trustProxy", async (what, changed) => {
    const untrusting = await served(name, {});
    const both = (request: IncomingMessage) => ({ ...changed(request), ...forwarding(request) });
    const refused = await RawClient.open(await hop(untrusting.port, both), handshake(page));
    await until(() => refused.answer.includes("trustProxy"));
    expect(refused.status).toBe(403);
    expect(untrusting.log).toEqual([{
      reason: "origin",
      what: `https://a.test:8443 at ${
        what.startsWith("no") ? "127.0.0.1:3000" : "a.test"
      }, forwarded for a.test:8443 by 127.0.0.1`,
      hint: expect.stringContaining("`trustProxy`"),
    }]);
    expect(untrusting.engine.counters().refused.origin).toBe(1);

    for (const trustProxy of [true, "loopback", ["127.0.0.1"], (address: string | undefined) => address === "127.0.0.1"]) {
      const { port, asked, log } = await served(name, { trustProxy });
      const proxy = await hop(port, both);
      const raw = await RawClient.open(proxy, handshake({ ...page, "X-Forwarded-For": "1.1.1.1" }, { path: "/peyk?room=9" }));
      await until(() => raw.status === 101);
      raw.write(hello);
      await until(() => asked.length === 1);
      expect(asked[0]?.request?.remoteAddress).toBe("198.51.100.4");
      expect(asked[0]?.request?.url).toBe("https://a.test:8443/peyk?room=9");
      const evil = await RawClient.open(
        proxy,
        handshake({ Host: "a.test:8443", Origin: "https://evil.test", "X-Forwarded-Host": "evil.test" }),
      );
      await until(() => evil.status === 403);
      expect(log).toMatchObject([{ reason: "origin", what: "https://evil.test at a.test:8443" }]);
      raw.socket.destroy();
    }
  });

  test("Host without its port, and no more: the refusal says that the port was lost", async () => {
    const { port, log } = await served(name, {});
    const raw = await RawClient.open(await hop(port, proxies["Host without its port"]), handshake(page));
    await until(() => raw.answer.includes("Only the port differs"));
    expect(raw.status).toBe(403);
    expect(log).toMatchObject([{ what: "https://a.test:8443 at a.test", hint: expect.stringContaining("$http_host") }]);
  });

  test("nothing, because there is none: what strangers forward changes nothing", async () => {
    const { port, asked, log } = await served(name, { trustProxy: "10.0.0.0/8" });
    const lies = {
      "X-Forwarded-Host": "a.test:8443",
      "X-Forwarded-For": "10.0.0.1",
      "X-Forwarded-Proto": "https",
      "X-Forwarded-Port": "1",
    };
    const evil = await RawClient.open(port, handshake({ ...page, Host: "b.test", ...lies }));
    await until(() => evil.status === 403);
    expect(log).toMatchObject([{
      reason: "origin",
      what: "https://a.test:8443 at b.test, forwarded for a.test:8443 by 127.0.0.1",
    }]);
    const raw = await RawClient.open(port, handshake({ Host: "b.test", Origin: "http://b.test", ...lies }));
    await until(() => raw.status === 101);
    raw.write(hello);
    await until(() => asked.length === 1);
    expect([asked[0]?.request?.remoteAddress, asked[0]?.request?.url]).toEqual(["127.0.0.1", "http://b.test/peyk"]);
    raw.socket.destroy();
  });
});

test("what trustProxy can't be is told when the gateway is made", async () => {
  const engine = await createEngine({ insecure: true });
  onTestFinished(() => engine.close());
  const { server } = await httpServer();
  const options = { trustProxy: "nginx" };
  for (
    const make of [
      () => serveNode(engine, server, options),
      () => upgradeHandler(engine, options),
      () => serveDeno(engine, options),
    ]
  ) {
    expect(make).toThrow(PeykError);
    expect(make).toThrow('trustProxy: "nginx" is no address or subnet of a proxy');
  }
});
