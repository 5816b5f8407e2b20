import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { expect, onTestFinished, test, vi } from "vitest";
import WebSocket from "ws";
import { serveDeno } from "../../adapters/deno.ts";
import { serveNode } from "../../adapters/node.ts";
import { webhook } from "../../adapters/webhook.ts";
import { createEngine, type Engine } from "../../mod.ts";
import { connect } from "../../src/client/client.ts";
import type { PushNotification, PushResult } from "../../src/ports/push_provider.ts";
import { certificate, key } from "./certificate.ts";

const until = (condition: () => unknown) => vi.waitFor(() => expect(condition()).toBeTruthy(), { timeout: 30_000, interval: 5 });

async function httpsServer(answer: () => number = () => 404): Promise<{ server: Server; port: number }> {
  const server = createServer({ cert: certificate, key }, (_, response) => void response.writeHead(answer()).end());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { server, port: (server.address() as AddressInfo).port };
}

/** Makes this process trust the test's certificate, as an operator would make it trust a company's own. */
function trust(): void {
  const before = getCACertificates("default");
  setDefaultCACertificates([...before, certificate]);
  onTestFinished(() => setDefaultCACertificates(before));
}

/** A socket that trusts the test's certificate alone. The servers listen on IPv4. */
class SecureSocket extends WebSocket {
  constructor(url: string, protocols: string[]) {
    super(url, protocols, { ca: certificate, family: 4 });
  }
}

/** The ways in which this runtime serves an engine over TLS: each gives the port. */
const servers: Record<string, (engine: Engine) => Promise<number>> = {
  async serveNode(engine) {
    const { server, port } = await httpsServer();
    serveNode(engine, server);
    return port;
  },
};
if ("Deno" in globalThis) {
  servers.serveDeno = (engine) => {
    const gateway = serveDeno(engine);
    const options = { port: 0, hostname: "127.0.0.1", cert: certificate, key, onListen: () => undefined };
    const server = Deno.serve(options, (request, info) => gateway(request, info) ?? new Response("the app"));
    onTestFinished(() => server.shutdown());
    return Promise.resolve(server.addr.port);
  };
}

test.each(Object.keys(servers))(
  "behind %s on https a client talks over wss, and authenticate sees an https URL",
  async (name) => {
    const urls: unknown[] = [];
    const engine = await createEngine({
      authenticate({ request }) {
        urls.push(request?.url);
        return { userId: "sara" };
      },
    });
    onTestFinished(() => engine.close());
    const port = await servers[name]!(engine);
    const peyk = connect(`wss://localhost:${port}/peyk`, { token: "t", WebSocket: SecureSocket });
    onTestFinished(() => peyk.close());
    const contents: unknown[] = [];
    peyk.onMessage(({ content }) => void contents.push(content));
    await peyk.publish({ to: "sara", content: "there and back" });
    await engine.publish({ to: "sara", content: "x".repeat(50_000) });
    await until(() => contents.length === 2 && engine.counters().acked === 2);
    expect(contents).toEqual(["there and back", "x".repeat(50_000)]);
    expect(urls).toEqual([`https://localhost:${port}/peyk`]);
  },
);

const notification: PushNotification = {
  userId: "sara",
  id: "m1",
  topic: "sara/default",
  position: { epoch: 1, offset: 1 },
  collapseId: "c1",
  alert: { title: "Omid", body: "Hello" },
  silent: false,
  urgency: "normal",
  ttl: 60,
  waiting: 1,
};

function send(host: string, port: number): Promise<PushResult> {
  const provider = webhook({ url: `https://${host}:${port}/`, secret: "a secret of enough length", allowLoopback: true });
  return provider.send({ token: "phone" }, notification, { signal: new AbortController().signal });
}

test("the webhook tells nothing to a receiver whose certificate nobody it trusts has signed, and tries again later", async () => {
  let requests = 0;
  const { port } = await httpsServer(() => (requests++, 204));
  const reason = "connection failed: DEPTH_ZERO_SELF_SIGNED_CERT";
  expect(await send("localhost", port)).toEqual({ verdict: "retry", reason, scope: "service" });
  expect(requests).toBe(0);
});

test("the webhook posts over https to a receiver it trusts, and tells nothing to one of another name", async () => {
  let requests = 0;
  const { port } = await httpsServer(() => (requests++, 204));
  trust();
  expect(await send("localhost", port)).toEqual({ verdict: "sent", info: "HTTP 204" });
  expect(await send("127.0.0.1", port)).toEqual({
    verdict: "retry",
    reason: "connection failed: ERR_TLS_CERT_ALTNAME_INVALID",
    scope: "service",
  });
  expect(requests).toBe(1);
});
