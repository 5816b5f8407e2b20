import { Buffer } from "node:buffer";
import {
  constants,
  createSecureServer,
  type Http2SecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, connect, createServer } from "node:net";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import type { ServiceReply } from "../../adapters/push_service/service_request.ts";
import { ServiceClient, type ServiceClientOptions } from "../../adapters/push_service/client.ts";
import { certificate, key } from "../tls/certificate.ts";

interface Received {
  stream: ServerHttp2Stream;
  session: ServerHttp2Session;
  headers: IncomingHttpHeaders;
  body: string;
}

interface Service {
  /** What is under way or answered, in the order in which it came. */
  all: Received[];
  sessions: ServerHttp2Session[];
  send(name: string, options?: { signal?: AbortSignal; lane?: string; body?: string; port?: number }): Promise<ServiceReply>;
  client: ServiceClient;
  server: Http2SecureServer;
  port: number;
}

/** A service over HTTP/2 and TLS. Undefined as its answer: it says nothing. */
async function service(
  answer: (received: Received, count: number) => number | undefined,
  { width, ...options }: ServiceClientOptions & { width?: number } = {},
): Promise<Service> {
  const all: Received[] = [];
  const sessions: ServerHttp2Session[] = [];
  const server = createSecureServer({
    cert: certificate,
    key,
    ...width !== undefined && { settings: { maxConcurrentStreams: width } },
  });
  server.on("session", (session) => {
    sessions.push(session);
    session.on("error", () => undefined);
  });
  server.on("sessionError", () => undefined);
  server.on("stream", (stream, headers) => {
    const chunks: Uint8Array[] = [];
    stream.on("error", () => undefined);
    stream.on("data", (chunk: Uint8Array) => void chunks.push(chunk));
    stream.on("end", () => {
      const received = { stream, session: stream.session as ServerHttp2Session, headers, body: Buffer.concat(chunks).toString() };
      const status = answer(received, all.push(received));
      if (status === undefined || stream.destroyed) return;
      stream.respond({ ":status": status, "x-name": received.body });
      stream.end(`answer to ${received.body}`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const client = new ServiceClient({ allowLoopback: true, ca: certificate, ...options });
  onTestFinished(async () => {
    await client.close();
    for (const session of sessions) session.destroy();
    server.close();
  });
  const send: Service["send"] = (
    name,
    { signal = new AbortController().signal, lane = "one", body = name, port: at = port } = {},
  ) =>
    client.request({
      lane,
      url: new URL(`https://localhost:${at}/push?name=${encodeURIComponent(name)}`),
      headers: { "x-sent": name },
      body: Buffer.from(body),
      signal,
    });
  return { all, sessions, send, client, server, port };
}

const until = (condition: () => unknown) => vi.waitFor(() => expect(condition()).toBeTruthy(), { timeout: 15_000, interval: 2 });
const statusOf = (reply: ServiceReply) => reply.kind === "answer" ? reply.status : reply.reason;
const many = (count: number, send: Service["send"]) => Promise.all(Array.from({ length: count }, (_, i) => send(`p${i}`)));

describe("requests of a lane", () => {
  test("go over one session, and bring status, headers and body", async () => {
    const { all, send, sessions, port } = await service(() => 201);
    const replies = await many(50, send);
    for (const [index, reply] of replies.entries()) {
      if (reply.kind !== "answer") throw new Error(reply.reason);
      expect([reply.status, reply.header("x-name"), reply.header("x-none"), reply.body]).toEqual([
        201,
        `p${index}`,
        undefined,
        `answer to p${index}`,
      ]);
    }
    expect(sessions).toHaveLength(1);
    expect(all[0]!.headers).toMatchObject({
      ":method": "POST",
      ":path": "/push?name=p0",
      ":authority": `localhost:${port}`,
      "x-sent": "p0",
      "content-length": "2",
    });
  });

  test("have a session of their own for each lane", async () => {
    const { send, sessions } = await service(() => 200);
    await Promise.all([send("a", { lane: "one" }), send("b", { lane: "two" })]);
    expect(sessions).toHaveLength(2);
  });

  test("wait where the service bears fewer streams, and leave in their order", async () => {
    let [now, most] = [0, 0];
    const { all, send } = await service(({ stream }) => {
      most = Math.max(most, ++now);
      setImmediate(() => {
        now--;
        stream.respond({ ":status": 200 });
        stream.end();
      });
      return undefined;
    }, { width: 3 });
    await send("first");
    expect((await many(40, send)).map(statusOf)).toEqual(Array(40).fill(200));
    expect(most).toBe(3);
    expect(all.slice(1).map(({ body }) => body)).toEqual(Array.from({ length: 40 }, (_, i) => `p${i}`));
  });

  test("begin with one alone until it was accepted, where that is asked for", async () => {
    const { all, send } = await service(() => undefined, { firstWidth: 1 });
    const replies = many(6, send);
    for (const [index, status] of [403, 403, 200].entries()) {
      await until(() => all.length === index + 1);
      const { session, stream } = all[index]!;
      // What is on its way has arrived by then.
      await new Promise((resolve) => session.ping(resolve));
      expect(all).toHaveLength(index + 1);
      stream.respond({ ":status": status }, { endStream: true });
    }
    await until(() => all.length === 6);
    for (const { stream } of all.slice(3)) stream.respond({ ":status": 200 }, { endStream: true });
    expect((await replies).map(statusOf)).toEqual([403, 403, 200, 200, 200, 200]);
  });

  test("are fewer at a time after the service asked for that, and more again later", async () => {
    let isBusy = true;
    let [now, most] = [0, 0];
    const { send } = await service(({ stream }) => {
      most = Math.max(most, ++now);
      setTimeout(() => {
        now--;
        stream.respond({ ":status": isBusy ? 429 : 200 }, { endStream: true });
      }, 1);
      return undefined;
    }, { width: 1_000 });
    await many(300, send);
    most = 0;
    await many(10, send);
    expect(most).toBeLessThanOrEqual(2);
    isBusy = false;
    await many(200, send);
    most = 0;
    await many(100, send);
    expect(most).toBeGreaterThan(20);
  });
});

describe("a service that goes away", () => {
  test("by GOAWAY is asked again over a new session, once, for what it had not begun with; the rest is answered on the former one", async () => {
    const { all, send, sessions } = await service(({ session }, count) => {
      // It begins with the first 5 streams: ids 1, 3, 5, 7 and 9.
      if (count === 3) session.goaway(constants.NGHTTP2_NO_ERROR, 9);
      return session === sessions[0] && count > 5 ? undefined : 200;
    });
    expect((await many(20, send)).map(statusOf)).toEqual(Array(20).fill(200));
    expect(sessions).toHaveLength(2);
    const answered = all.filter(({ stream }) => stream.headersSent).map(({ body }) => body);
    expect(answered.sort()).toEqual(Array.from({ length: 20 }, (_, i) => `p${i}`).sort());
  });

  test("by a GOAWAY that is an error fails what it may have taken, and gets again what it has not", async () => {
    const { all, send, sessions } = await service(({ session }, count) => {
      if (session !== sessions[0]) return 200;
      if (count === 10) session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM, 5);
      return undefined;
    });
    const replies = await many(10, send);
    const lost = replies.flatMap((reply, index) => reply.kind === "failure" ? [index] : []);
    expect(lost).toEqual([0, 1, 2]);
    expect(replies.slice(3).map(statusOf)).toEqual(Array(7).fill(200));
    expect(all.filter(({ session }) => session === sessions[1]).map(({ body }) => body)).toEqual(
      [3, 4, 5, 6, 7, 8, 9].map((i) => `p${i}`),
    );
  });

  test("by refusing a stream without a word gets it again, once", async () => {
    const { all, send } = await service(({ stream, body }, count) => {
      if (body === "never" || count === 1) {
        stream.close(constants.NGHTTP2_REFUSED_STREAM);
        return undefined;
      }
      return 200;
    });
    expect(statusOf(await send("once"))).toBe(200);
    expect(await send("never")).toEqual({ kind: "failure", reason: "the service refused the stream", scope: "service" });
    expect(all.map(({ body }) => body)).toEqual(["once", "once", "never", "never"]);
  });

  test("by ending its connections fails what was under way, and the next one opens another", async () => {
    const { send, sessions } = await service(({ session }, count) => {
      if (count !== 2) return 200;
      session.destroy();
      return undefined;
    });
    expect(statusOf(await send("a"))).toBe(200);
    expect(await send("b")).toMatchObject({ kind: "failure", scope: "service" });
    expect(statusOf(await send("c"))).toBe(200);
    expect(sessions).toHaveLength(2);
  });

  test("each time that it is asked is not asked over and over", async () => {
    const { send, server, sessions } = await service(() => 200);
    server.on("session", (session) => session.goaway(constants.NGHTTP2_NO_ERROR, 0));
    for (const reply of await many(300, send)) expect(reply).toMatchObject({ kind: "failure", scope: "service" });
    expect(sessions.length).toBeLessThanOrEqual(4);
  });

  test("is not there: says so for all that waits", async () => {
    const { send, server, sessions } = await service(() => 200);
    await new Promise((resolve) => server.close(resolve));
    const replies = await many(3, send);
    for (const reply of replies) {
      expect(reply).toEqual({ kind: "failure", reason: "connection failed: ECONNREFUSED", scope: "service" });
    }
    expect(sessions).toHaveLength(0);
  });

  test("with a certificate that nobody signed is not sent anything", async () => {
    const { port, all } = await service(() => 200);
    const client = new ServiceClient({ allowLoopback: true });
    const url = new URL(`https://localhost:${port}/`);
    const reply = await client.request({
      lane: "x",
      url,
      headers: {},
      body: new Uint8Array(1),
      signal: new AbortController().signal,
    });
    expect(reply).toMatchObject({ kind: "failure", scope: "service" });
    expect(all).toHaveLength(0);
    await client.close();
  });
});

describe("a service that is slow", () => {
  test("has its deadline; while it answers others a late request is its target's matter", async () => {
    const { all, send } = await service(({ body }) => body === "slow" ? undefined : 200, { timeoutMs: 300 });
    await send("warm");
    const slow = send("slow");
    await until(() => all.length === 2);
    const others = setInterval(() => void send("other"), 20);
    expect(await slow).toEqual({ kind: "failure", reason: "no answer within 300 ms", scope: "target" });
    clearInterval(others);
  });

  test("and answers nothing at all is the service's matter, and the next request gets a new connection", async () => {
    let isHanging = true;
    const { send, sessions } = await service(() => isHanging ? undefined : 200, { timeoutMs: 150 });
    expect(await send("slow")).toEqual({ kind: "failure", reason: "no answer within 150 ms", scope: "service" });
    isHanging = false;
    expect(statusOf(await send("next"))).toBe(200);
    expect(sessions).toHaveLength(2);
  });

  test("hands back what waits for it long before its deadlines", async () => {
    const { all, send } = await service(() => undefined, { timeoutMs: 3_000, width: 4 });
    const order: (string | number)[] = [];
    await Promise.all(Array.from({ length: 10 }, async (_, i) => void order.push(statusOf(await send(`p${i}`)))));
    expect(order).toEqual([...Array(6).fill("the service has stopped answering"), ...Array(4).fill("no answer within 3000 ms")]);
    expect(all).toHaveLength(4);
  });

  test("and whose connection is dead, though neither side has closed it, is noticed by a ping before the deadline", async () => {
    const { send, sessions, port } = await service(() => 200, { timeoutMs: 60_000 });
    // Between the two: passes everything on until it is told to pass on nothing more.
    let isDead = false;
    const between = createServer((near) => {
      const far = connect(port, "127.0.0.1");
      const isPassing = !isDead;
      near.on("data", (bytes) => void ((isPassing && isDead) || far.write(bytes)));
      far.on("data", (bytes) => void ((isPassing && isDead) || near.write(bytes)));
      for (const socket of [near, far]) socket.on("error", () => undefined);
    });
    await new Promise<void>((resolve) => between.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void between.close());
    const through = (between.address() as AddressInfo).port;
    expect(statusOf(await send("a", { port: through }))).toBe(200);
    isDead = true;
    expect(await send("b", { port: through })).toEqual({ kind: "failure", reason: "the connection was lost", scope: "service" });
    expect(statusOf(await send("c", { port: through }))).toBe(200);
    expect(sessions).toHaveLength(2);
  }, 30_000);

  test("gets the cancellation when the caller gives up, waiting or under way", async () => {
    const { all, send } = await service(() => undefined, { firstWidth: 1 });
    const aborts = [new AbortController(), new AbortController()];
    const sends = aborts.map(({ signal }, i) => send(`a${i}`, { signal }));
    await until(() => all.length === 1);
    aborts[1]!.abort();
    expect(await sends[1]).toEqual({ kind: "failure", reason: "aborted", scope: "target" });
    aborts[0]!.abort();
    expect(await sends[0]).toEqual({ kind: "failure", reason: "aborted", scope: "target" });
    await until(() => all[0]!.stream.closed);
    expect(await send("b", { signal: AbortSignal.abort() })).toEqual({ kind: "failure", reason: "aborted", scope: "target" });
    expect(all).toHaveLength(1);
  });
});

describe("an answer", () => {
  test("without an end is cut off", async () => {
    let written = 0;
    const { send } = await service(({ stream }) => {
      stream.respond({ ":status": 200 });
      const more = (): void => {
        while (!stream.destroyed && written < 1e9 && stream.write(Buffer.alloc(65_536, "x"))) written += 65_536;
      };
      stream.on("drain", more);
      more();
      return undefined;
    });
    const reply = await send("a");
    if (reply.kind !== "answer") throw new Error(reply.reason);
    expect([reply.status, reply.body.length]).toEqual([200, 65_536]);
    expect(written).toBeLessThan(3e7);
  });

  test("that breaks off counts by its status", async () => {
    const { send } = await service(({ stream }) => {
      stream.respond({ ":status": 410 });
      stream.write("half of");
      setTimeout(() => stream.close(constants.NGHTTP2_INTERNAL_ERROR), 5);
      return undefined;
    });
    expect(await send("a")).toMatchObject({ kind: "answer", status: 410 });
  });

  test("that redirects is not followed", async () => {
    const { all, send, port } = await service(({ stream }) => {
      stream.respond({ ":status": 307, location: `https://localhost:${port}/other` }, { endStream: true });
      return undefined;
    });
    expect(statusOf(await send("a"))).toBe(307);
    expect(all).toHaveLength(1);
  });
});

describe("a lane", () => {
  test("that is renewed opens another session, and what is under way ends on the former one", async () => {
    const { all, client, send, sessions } = await service((_, count) => count === 1 ? undefined : 200);
    const first = send("first");
    await until(() => all.length === 1);
    client.renew("one");
    expect(statusOf(await send("second"))).toBe(200);
    all[0]!.stream.respond({ ":status": 202 }, { endStream: true });
    expect(statusOf(await first)).toBe(202);
    expect(sessions).toHaveLength(2);
    await until(() => sessions[0]!.closed);
  });

  test("goes to no address of this machine or its network unless that is allowed", async () => {
    const { port, sessions } = await service(() => 200);
    const client = new ServiceClient({ ca: certificate });
    for (const host of ["localhost", "127.0.0.1", "10.0.0.1", "[::1]"]) {
      const url = new URL(`https://${host}:${port}/`);
      const reply = await client.request({
        lane: host,
        url,
        headers: {},
        body: new Uint8Array(1),
        signal: new AbortController().signal,
      });
      expect(reply).toEqual({ kind: "failure", reason: "the address is not one that may be called", scope: "service" });
    }
    expect(sessions).toHaveLength(0);
    await client.close();
  });

  test("closes with what is under way, and opens again for the next engine", async () => {
    const { all, client, send, sessions } = await service((_, count) => count === 1 ? undefined : 200);
    const reply = send("a");
    await until(() => all.length === 1);
    await client.close();
    expect(await reply).toMatchObject({ kind: "failure" });
    await until(() => sessions[0]!.destroyed);
    expect(statusOf(await send("b"))).toBe(200);
  });
});

describe("a service that speaks HTTP/1.1 only", () => {
  async function http1(answer: (name: string) => number | undefined) {
    let connections = 0;
    const names: string[] = [];
    const server = createHttpsServer({ cert: certificate, key }, (request, response) => {
      const chunks: Uint8Array[] = [];
      request.on("data", (chunk: Uint8Array) => void chunks.push(chunk));
      request.on("end", () => {
        const name = Buffer.concat(chunks).toString();
        names.push(name);
        const status = answer(name);
        if (status !== undefined) response.writeHead(status, { "x-name": name }).end(`answer to ${name}`);
      });
    });
    server.on("secureConnection", () => connections++);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const client = new ServiceClient({ allowLoopback: true, ca: certificate, timeoutMs: 6_000 });
    onTestFinished(async () => {
      await client.close();
      server.closeAllConnections();
      server.close();
    });
    const url = new URL(`https://localhost:${(server.address() as AddressInfo).port}/`);
    const send = (name: string) =>
      client.request({ lane: "one", url, headers: {}, body: Buffer.from(name), signal: new AbortController().signal });
    return { names, send, connections: () => connections };
  }

  test("is asked over connections that are kept", async () => {
    const { send, connections } = await http1(() => 201);
    for (let i = 0; i < 20; i++) {
      const reply = await send(`p${i}`);
      if (reply.kind !== "answer") throw new Error(reply.reason);
      expect([reply.status, reply.header("x-name"), reply.body]).toEqual([201, `p${i}`, `answer to p${i}`]);
    }
    // One more may have found out what the service speaks.
    expect(connections()).toBeLessThanOrEqual(2);
  });

  test("has its deadline for each request, however long the connection's own is", async () => {
    const { send } = await http1((name) => name === "slow" ? undefined : 200);
    const slow = send("slow");
    expect(statusOf(await send("quick"))).toBe(200);
    expect(await slow).toMatchObject({ kind: "failure", reason: "no answer within 6000 ms" });
  }, 30_000);
});
