import { Buffer } from "node:buffer";
import { createHmac } from "node:crypto";
import { createServer, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { addressKind } from "../../adapters/push_service/address.ts";
import { ServiceClient } from "../../adapters/push_service/client.ts";
import { verifyWebhook, webhook, type WebhookHeaders, type WebhookOptions } from "../../adapters/webhook.ts";
import type { PushNotification, PushResult } from "../../src/ports/push_provider.ts";
import type { PushAddress } from "../../src/protocol/target.ts";

const secret = "a secret of enough length";
const notification: PushNotification = {
  userId: "u1",
  id: "m1",
  topic: "u1/default",
  position: { epoch: 1, offset: 2 },
  collapseId: "c1",
  alert: { title: "Sara", body: "Hello" },
  silent: false,
  urgency: "normal",
  ttl: 60,
  waiting: 1,
};

interface Received {
  method: string | undefined;
  url: string | undefined;
  headers: IncomingHttpHeaders;
  body: string;
}

/** A receiver that answers with whatever bytes `answer` gives; undefined answers nothing. */
async function receiver(
  answer: (received: Received, request: IncomingMessage) => string | undefined,
  options: Partial<WebhookOptions> = {},
) {
  const all: Received[] = [];
  const server = createServer((request) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => void chunks.push(chunk));
    request.on("end", () => {
      const { method, url, headers } = request;
      const received = { method, url, headers, body: Buffer.concat(chunks).toString() };
      all.push(received);
      const bytes = answer(received, request);
      if (bytes !== undefined) request.socket.end(bytes);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const provider = webhook({ url: `http://127.0.0.1:${port}/hook?key=k3y`, secret, allowLoopback: true, ...options });
  const send = (
    target: string | PushAddress = "phone",
    changes: Partial<PushNotification> = {},
    signal = new AbortController().signal,
  ): Promise<PushResult> =>
    provider.send(typeof target === "string" ? { token: target } : target, { ...notification, ...changes }, { signal });
  return { all, port, send, server };
}

const ok = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
const until = (condition: () => unknown) => vi.waitFor(() => expect(condition()).toBeTruthy(), { timeout: 15_000, interval: 5 });

describe("a request", () => {
  test("is a signed POST of JSON that carries the notification and names the target", async () => {
    const { all, send } = await receiver(() => ok);
    expect(await send("phone 7")).toEqual({ verdict: "sent", info: "HTTP 204" });
    const [{ method, url, headers, body } = {} as Received] = all;
    expect([method, url, headers["content-type"]]).toEqual(["POST", "/hook?key=k3y", "application/json"]);
    expect(JSON.parse(body)).toEqual({ ...notification, token: "phone 7", deliveryId: headers["peyk-id"] });
    const signed = createHmac("sha256", secret).update(`${headers["peyk-timestamp"]}.${body}`).digest("hex");
    expect(headers["peyk-signature"]).toBe(`v1=${signed}`);
    expect(Math.abs(Number(headers["peyk-timestamp"]) - Date.now() / 1_000)).toBeLessThan(60);
  });

  test("passes on what the client said of its target", async () => {
    const { all, send } = await receiver(() => ok);
    const target: PushAddress = {
      token: "phone 7",
      app: "org.example.app",
      environment: "sandbox",
      keyId: "k1",
      locale: "fa-IR",
      timeZone: "Asia/Tehran",
      reports: ["shown"],
    };
    await send(target);
    const [{ headers, body } = {} as Received] = all;
    expect(verifyWebhook({ headers, body, secret })).toEqual({ ...notification, ...target, deliveryId: headers["peyk-id"] });
  });

  test("keeps its id on every try; another target, message or secret has another", async () => {
    const { all, send, port } = await receiver(() => ok);
    await send("phone");
    await send("phone", { ttl: 30 });
    await send("laptop");
    await send("phone", { id: "m2" });
    const other = webhook({ url: `http://127.0.0.1:${port}/`, secret: secret.toUpperCase(), allowLoopback: true });
    await other.send({ token: "phone" }, notification, { signal: new AbortController().signal });
    const ids = all.map(({ headers }) => headers["peyk-id"]);
    expect(ids[0]).toBe(ids[1]);
    expect(new Set(ids).size).toBe(4);
  });

  test("larger than 64 KiB leaves its words out: a message waits", async () => {
    const { all, send } = await receiver(() => ok);
    for (const large of [{ alert: { body: "x".repeat(65_536) } }, { native: { x: "x".repeat(65_536) } }]) {
      expect(await send("phone", large)).toMatchObject({ verdict: "sent" });
    }
    for (const { headers, body } of all) {
      const { deliveryId: _, ...delivery } = verifyWebhook({ headers, body, secret })!;
      expect(delivery).toEqual({ ...notification, token: "phone", alert: {} });
    }
    expect(all).toHaveLength(2);
  });

  test("says nothing of a message where the receiver is to know nothing of it", () => {
    const url = "https://push.example.org/";
    expect(webhook({ url, secret, content: "none" }).content).toBe("none");
    expect(webhook({ url, secret }).content).toBeUndefined();
  });

  test("carries what was meant for this provider alone", async () => {
    const { all, send } = await receiver(() => ok);
    await send("phone", { native: { ttl: 1, priority: "high" } });
    expect(JSON.parse(all[0]!.body)).toMatchObject({ ...notification, native: { ttl: 1, priority: "high" } });
  });

  const own = Object.values(networkInterfaces()).flat().find((one) =>
    one !== undefined && addressKind(one.address) === "private"
  );
  test.skipIf(own === undefined)("goes to a private address where that is allowed, and else is not made", async () => {
    const { all, server } = await receiver(() => ok);
    await new Promise<void>((resolve) => server.close(() => resolve()));
    await new Promise<void>((resolve) => server.listen(0, own!.address, resolve));
    const { port } = server.address() as AddressInfo;
    const url = new URL(`http://${own!.family === "IPv6" ? `[${own!.address}]` : own!.address}:${port}/`);
    const provider = webhook({ url: url.href, secret, allowPrivate: true });
    onTestFinished(() => provider.close?.());
    expect((await provider.send({ token: "phone" }, notification, { signal: new AbortController().signal })).verdict).toBe(
      "sent",
    );
    const client = new ServiceClient({ allowLoopback: true });
    const request = { lane: "x", url, headers: {}, body: new Uint8Array(1), signal: new AbortController().signal };
    expect(await client.request(request)).toMatchObject({ kind: "failure" });
    expect(all).toHaveLength(1);
  });

  test("by name goes to the address that was looked up and checked", async () => {
    const { all, send, port } = await receiver(() => ok);
    const named = webhook({ url: `http://localhost:${port}/`, secret, allowLoopback: true });
    const { verdict } = await named.send({ token: "phone" }, notification, { signal: new AbortController().signal });
    expect(verdict).toBe("sent");
    await send();
    expect(all[0]?.headers.host).toBe(`localhost:${port}`);
  });
});

describe("an answer", () => {
  test.each([301, 302, 303, 307, 308])("that redirects (%i) is rejected and not followed", async (status) => {
    const { all, send, port } = await receiver(() =>
      `HTTP/1.1 ${status} Elsewhere\r\nLocation: http://127.0.0.1:${port}/other\r\nContent-Length: 0\r\n\r\n`
    );
    expect(await send()).toEqual({ verdict: "rejected", reason: `HTTP ${status}: redirects are not followed` });
    expect(all).toHaveLength(1);
  });

  test("that never comes is a retry when the time is up", async () => {
    const { send } = await receiver(() => undefined, { timeoutMs: 50 });
    expect(await send()).toEqual({ verdict: "retry", reason: "no answer within 50 ms", scope: "service" });
  });

  test("whose body never ends counts by its status when the time is up", async () => {
    const { send } = await receiver((_, { socket }) => {
      socket.write("HTTP/1.1 410 Gone\r\nContent-Length: 10\r\n\r\nx");
      return undefined;
    }, { timeoutMs: 200 });
    expect(await send()).toEqual({ verdict: "gone", reason: "HTTP 410" });
  });

  test("whose body has no end is cut off after 64 KiB", async () => {
    let written = 0;
    const { send } = await receiver((_, { socket }) => {
      socket.on("error", () => undefined);
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      const more = (): void => {
        while (!socket.destroyed && written < 1e8 && socket.write(new Uint8Array(65_536))) written += 65_536;
      };
      socket.on("drain", more);
      more();
      return undefined;
    });
    expect(await send()).toEqual({ verdict: "sent", info: "HTTP 200" });
    expect(written).toBeLessThan(3e7); // what fits into the buffers between
  });

  test("is not waited for once the engine aborts, and the connection ends", async () => {
    const { all, send, server } = await receiver(() => undefined);
    const abort = new AbortController();
    const result = send("phone", {}, abort.signal);
    await until(() => all.length === 1);
    abort.abort();
    expect(await result).toEqual({ verdict: "retry", reason: "aborted", scope: "target" });
    const connections = () => new Promise<number>((resolve) => server.getConnections((_, count) => resolve(count)));
    await vi.waitFor(async () => expect(await connections()).toBe(0), { timeout: 15_000, interval: 5 });
    expect(await send("phone", {}, AbortSignal.abort())).toEqual({ verdict: "retry", reason: "aborted", scope: "target" });
    expect(all).toHaveLength(1);
  });

  test.each([
    "",
    "nonsense\r\n\r\n",
    "HTTP/1.1 2",
    "HTTP/1.1 200 OK\r\nContent-Le",
    `HTTP/1.1 200 OK\r\nX: ${"x".repeat(300_000)}\r\n\r\n`,
  ])(
    "that is no HTTP answer is a retry (%#)",
    async (bytes) => {
      const { send } = await receiver(() => bytes, { timeoutMs: 5_000 });
      expect((await send()).verdict).toBe("retry");
    },
  );

  test("nobody listening is a retry, and no result holds the token, the secret or the URL", async () => {
    const { send, server, port } = await receiver(() => "HTTP/1.1 500 phone k3y\r\n\r\nphone k3y");
    const results = [await send()];
    await new Promise((resolve) => server.close(resolve));
    results.push(await send());
    expect(results.map(({ verdict }) => verdict)).toEqual(["retry", "retry"]);
    expect(JSON.stringify(results)).not.toMatch(new RegExp(`phone|k3y|secret|127\\.|${port}`));
  });
});

test("1,196 answers of every status class, body and Retry-After form give the right verdict each", async () => {
  const now = Date.now();
  const inAMinute = new Date(now + 60_000).toUTCString();
  const retryAfters: (string | undefined)[] = [
    undefined,
    "",
    "0",
    "5",
    "120",
    "99999999999",
    "-5",
    "1.5",
    "soon",
    inAMinute,
    "Sun Nov  6 08:49:37 1994",
    "2026-01-01T00:00:00Z",
    "7, 9",
  ];
  const waits = [
    undefined,
    undefined,
    1_000,
    5_000,
    120_000,
    3_600_000,
    undefined,
    undefined,
    undefined,
    "a minute",
    1_000,
    undefined,
    undefined,
  ];
  const bodies = {
    empty: (head: string) => `${head}Content-Length: 0\r\n\r\n`,
    html: (head: string) => `${head}Content-Length: 30\r\n\r\n<html><body>410</body></html>\n`,
    truncated: (head: string) => `${head}Content-Length: 5000\r\n\r\n{"verdict":"go`,
    huge: (head: string) => `${head}\r\n${"x".repeat(200_000)}`,
  };
  const statuses = [
    200,
    201,
    202,
    204,
    226,
    299,
    300,
    304,
    400,
    401,
    403,
    404,
    408,
    410,
    413,
    418,
    425,
    429,
    500,
    502,
    503,
    504,
    599,
  ];
  const cases = statuses.flatMap((status) =>
    retryAfters.flatMap((header, form) => Object.values(bodies).map((body) => ({ status, header, form, body })))
  );
  expect(cases).toHaveLength(1_196);

  const { send } = await receiver(({ body }) => {
    const { status, header, body: write } = cases[Number(JSON.parse(body).token)]!;
    return write(
      `HTTP/1.1 ${status} Whatever\r\nConnection: close\r\n${header === undefined ? "" : `Retry-After: ${header}\r\n`}`,
    );
  });
  for (let at = 0; at < cases.length; at += 46) {
    await Promise.all(
      cases.slice(at, at + 46).map(async ({ status, form }, i) => {
        const result = await send(String(at + i));
        const again = [408, 425, 429].includes(status) || status >= 500;
        const isUnclear = status === 401 || status === 403;
        const verdict = status < 300 ? "sent" : status === 410 ? "gone" : again || isUnclear ? "retry" : "rejected";
        expect([at + i, status, result.verdict]).toEqual([at + i, status, verdict]);
        expect("scope" in result ? result.scope : undefined).toBe(isUnclear ? "unclear" : undefined);
        expect("alarm" in result).toBe(isUnclear);
        const afterMs = result.verdict === "retry" ? result.afterMs : undefined;
        if (again && waits[form] === "a minute") expect(Math.abs((afterMs ?? 0) - 60_000)).toBeLessThan(20_000);
        else expect([status, form, afterMs]).toEqual([status, form, again ? waits[form] : undefined]);
      }),
    );
  }
});

describe("a receiver's check", () => {
  async function captured() {
    const { all, send } = await receiver(() => ok);
    await send("phone 7");
    const [{ headers, body } = {} as Received] = all;
    return { headers, body, secret };
  }

  test("gives the delivery of a true request, as Node's headers or as Headers, as text or as bytes", async () => {
    const { headers, body } = await captured();
    const expected = { ...notification, token: "phone 7", deliveryId: headers["peyk-id"] };
    expect(verifyWebhook({ headers, body, secret })).toEqual(expected);
    const web = new Headers(Object.entries(headers) as [string, string][]);
    expect(verifyWebhook({ headers: web, body: new TextEncoder().encode(body), secret })).toEqual(expected);
  });

  test("finds the headers in any case, as arrays, and in Headers of any library", async () => {
    const { headers, body } = await captured();
    const own = Object.entries(headers).filter(([name]) => name.startsWith("peyk-")) as [string, string][];
    const title = (name: string): string => name.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase());
    const found = new Map(own);
    const forms: WebhookHeaders[] = [
      Object.fromEntries(own.map(([name, value]) => [title(name), value])),
      Object.fromEntries(own.map(([name, value]) => [name.toUpperCase(), [value]])),
      Object.assign(Object.create(null), Object.fromEntries(own)),
      { "PEYK-ID": undefined, ...Object.fromEntries(own) },
      found,
      { get: (name: string) => found.get(name) ?? null },
      { get: (name: string) => [found.get(name)] },
      { ...Object.fromEntries(own), get: "a header of that name" },
    ];
    for (const form of forms) expect(verifyWebhook({ headers: form, body, secret })?.token).toBe("phone 7");
  });

  test("refuses a header that is there twice, in another case too, and what is none", async () => {
    const { headers, body } = await captured();
    const id = String(headers["peyk-id"]);
    const signature = String(headers["peyk-signature"]);
    const forms: WebhookHeaders[] = [
      { ...headers, "Peyk-Signature": signature },
      { ...headers, "peyk-id": [id, id] },
      { ...headers, "peyk-id": [] },
      { get: () => [signature, signature] },
      { get: () => null },
      { get: () => ({ length: 1 }) },
    ];
    for (const form of forms) expect(verifyWebhook({ headers: form, body, secret })).toBeUndefined();
  });

  test("refuses what was changed on the way", async () => {
    const { headers, body } = await captured();
    const later = String(Number(headers["peyk-timestamp"]) + 1);
    const signature = String(headers["peyk-signature"]);
    const wrong: [string, Record<string, string | string[] | undefined>, string, string][] = [
      ["another secret", headers, body, `${secret}!`],
      ["an empty secret", headers, body, ""],
      ["a changed body", headers, body.replace("Hello", "Hallo"), secret],
      ["a longer body", headers, `${body} `, secret],
      ["a changed time", { ...headers, "peyk-timestamp": later }, body, secret],
      ["a changed id", { ...headers, "peyk-id": "0".repeat(32) }, body, secret],
      [
        "a changed signature",
        { ...headers, "peyk-signature": signature.replace(/.$/, (last) => last === "0" ? "1" : "0") },
        body,
        secret,
      ],
      ["a cut signature", { ...headers, "peyk-signature": signature.slice(0, -1) }, body, secret],
      ["an unknown scheme", { ...headers, "peyk-signature": signature.replace("v1", "v0") }, body, secret],
      ["an empty signature", { ...headers, "peyk-signature": "" }, body, secret],
      ["no signature", { ...headers, "peyk-signature": undefined }, body, secret],
      ["two signatures", { ...headers, "peyk-signature": [signature, signature] }, body, secret],
      ["no time", { ...headers, "peyk-timestamp": undefined }, body, secret],
      ["no number as time", { ...headers, "peyk-timestamp": "NaN" }, body, secret],
      ["no id", { ...headers, "peyk-id": undefined }, body, secret],
    ];
    for (const [what, changed, text, key] of wrong) {
      expect([what, verifyWebhook({ headers: changed, body: text, secret: key })]).toEqual([what, undefined]);
    }
  });

  test("refuses a replay from outside the window, before and after, and takes what is just within", async () => {
    const request = await captured();
    const sentAt = Number(request.headers["peyk-timestamp"]) * 1_000;
    const taken = (now: number, toleranceMs?: number) =>
      verifyWebhook({ ...request, now, ...(toleranceMs && { toleranceMs }) }) !== undefined;
    expect([taken(sentAt + 300_000), taken(sentAt + 300_001), taken(sentAt - 300_000), taken(sentAt - 300_001)]).toEqual([
      true,
      false,
      true,
      false,
    ]);
    expect([taken(sentAt + 1_000, 1_000), taken(sentAt + 1_001, 1_000), taken(NaN)]).toEqual([true, false, false]);
  });

  test("refuses everything while the receiver's secret is empty, also what is signed with nothing", () => {
    const timestamp = String(Math.floor(Date.now() / 1_000));
    const body = JSON.stringify({ deliveryId: "x" });
    const signature = `v1=${createHmac("sha256", "").update(`${timestamp}.${body}`).digest("hex")}`;
    expect(
      verifyWebhook({ headers: { "peyk-id": "x", "peyk-timestamp": timestamp, "peyk-signature": signature }, body, secret: "" }),
    ).toBeUndefined();
  });

  test("refuses a body that is signed but no JSON", () => {
    const timestamp = String(Math.floor(Date.now() / 1_000));
    const signature = `v1=${createHmac("sha256", secret).update(`${timestamp}.nonsense`).digest("hex")}`;
    expect(
      verifyWebhook({
        headers: { "peyk-id": "x", "peyk-timestamp": timestamp, "peyk-signature": signature },
        body: "nonsense",
        secret,
      }),
    ).toBeUndefined();
  });
});
