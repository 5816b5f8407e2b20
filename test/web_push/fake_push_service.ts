import { Buffer } from "node:buffer";
import { createDecipheriv, createECDH, createPublicKey, type ECDH, hkdfSync, randomBytes, verify } from "node:crypto";
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import { createServer, type Server } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { certificate, key } from "../tls/certificate.ts";

/** What the service answers to one request. */
export type Answer =
  | { status: number; headers?: Record<string, string>; body?: string }
  /** It takes the request and says nothing. */
  | "hang"
  /** 201 and a body that goes on until it is no longer read. */
  | "endless";

/** One request that was taken, and what was in it. */
export interface Taken {
  httpVersion: string;
  path: string;
  headers: Record<string, string | string[] | undefined>;
  body: Buffer;
  /** What the subscription's owner reads. */
  plaintext: string;
  /** What was signed. */
  claims: { aud: string; exp: number; sub: string };
  /** The key it was signed by, as base64url. */
  signedBy: string;
}

/** Where one browser gets its pushes: the subscription, and what decrypts for it. */
export interface FakeSubscription {
  endpoint: string;
  keys: { p256dh: string; auth: string };
  pair: ECDH;
}

/**
 * A push service on this machine that does as the RFCs say: it wants TTL (RFC 8030), verifies who sends (RFC 8292) and, as the browser
 * behind it, decrypts what comes (RFC 8291). What is wrong it refuses with 400, 401 or 404, and counts. Otherwise it answers as told.
 */
export class FakePushService {
  /** What it answers to the next requests, first things first; then 201. */
  readonly answers: Answer[] = [];
  readonly taken: Taken[] = [];
  /** What it refused, and why. */
  readonly refused: string[] = [];
  /** Bytes of bodies. */
  bytes = 0;
  connections = 0;
  readonly #server: Server;
  #port = 0;
  readonly #sockets = new Set<Socket>();
  readonly #subscriptions = new Map<string, FakeSubscription>();

  constructor({ http2 = true } = {}) {
    const take = (request: unknown, response: unknown) =>
      void this.#take(request as Http2ServerRequest, response as Http2ServerResponse);
    const options = { cert: certificate, key };
    // Both know the same events, and what they pass has the same names.
    this.#server = http2
      ? createSecureServer({ ...options, allowHTTP1: true }, take) as unknown as Server
      : createServer(options, take);
    this.#server.on("connection", (socket: Socket) => {
      this.connections++;
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    this.#server.on("sessionError", () => {});
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    this.#port = (this.#server.address() as AddressInfo).port;
    return this;
  }

  get origin(): string {
    return `https://localhost:${this.#port}`;
  }

  /** Connections that are open. */
  get open(): number {
    return this.#sockets.size;
  }

  get requests(): number {
    return this.taken.length + this.refused.length;
  }

  /** A new browser. */
  subscribe(): FakeSubscription {
    const path = `/push/${randomBytes(24).toString("base64url")}`;
    const { keys, pair } = newReceiver();
    const subscription = { endpoint: this.origin + path, keys, pair };
    this.#subscriptions.set(path, subscription);
    return subscription;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  async #take(request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> {
    request.on("error", () => {});
    response.on("error", () => {});
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    await new Promise<void>((resolve) => request.on("end", resolve));
    const body = Buffer.concat(chunks);
    this.bytes += body.length;
    const fault = this.#read(request, body);
    const answer = fault === undefined ? this.answers.shift() ?? { status: 201 } : fault;
    if (answer === "hang") return;
    if (answer === "endless") return flood(response);
    response.writeHead(answer.status, answer.headers ?? {});
    response.end(answer.body ?? "");
  }

  /** Reads the request as the service and the browser behind it would; what is wrong with it is answered. */
  #read({ headers, url, httpVersion, method }: Http2ServerRequest, body: Buffer): Answer | undefined {
    const refuse = (status: number, why: string): Answer => {
      this.refused.push(why);
      return { status };
    };
    const subscription = this.#subscriptions.get(url);
    if (method !== "POST" || subscription === undefined) return refuse(404, `${method} of nothing known`);
    if (!/^\d{1,7}$/.test(String(headers["ttl"]))) return refuse(400, "no TTL");
    if (headers["content-encoding"] !== "aes128gcm") return refuse(400, "another content encoding");
    if (body.length > 4_096) return refuse(413, "too large");
    if (!/^[\w-]{1,32}$/.test(String(headers["topic"] ?? "a"))) return refuse(400, "a topic that is none");
    if (!["very-low", "low", "normal", "high"].includes(String(headers["urgency"] ?? "normal"))) return refuse(400, "urgency");
    const signed = readVapid(String(headers["authorization"]));
    if (typeof signed === "string") return refuse(401, signed);
    const { claims, signedBy } = signed;
    if (claims.aud !== this.origin) return refuse(401, "signed for another origin");
    if (!/^(mailto|https):/.test(claims.sub)) return refuse(401, "a subject that is none");
    const left = claims.exp - Date.now() / 1_000;
    if (left <= 0 || left > 86_400) return refuse(401, "valid for too long, or no more");
    try {
      const plaintext = decrypt(body, subscription).toString();
      this.taken.push({ httpVersion, path: url, headers: { ...headers }, body, plaintext, claims, signedBy });
    } catch (error) {
      return refuse(400, `can't be decrypted: ${(error as Error).message}`);
    }
    return undefined;
  }
}

/** What a browser makes for a new subscription. */
export function newReceiver(): Pick<FakeSubscription, "keys" | "pair"> {
  const pair = createECDH("prime256v1");
  const p256dh = pair.generateKeys("base64url");
  return { keys: { p256dh, auth: randomBytes(16).toString("base64url") }, pair };
}

/** Reads RFC 8291, written from its text by other means than what is tested. */
export function decrypt(body: Buffer, { pair, keys }: Pick<FakeSubscription, "keys" | "pair">): Buffer {
  const salt = body.subarray(0, 16);
  const recordBytes = body.readUInt32BE(16);
  const sender = body.subarray(21, 21 + body[20]!);
  const record = body.subarray(21 + body[20]!);
  if (sender.length !== 65 || record.length > recordBytes) throw new Error("not one record by a key of P-256");
  const hkdf = (secret: Uint8Array, salt: Uint8Array, info: Buffer, length: number) =>
    Buffer.from(hkdfSync("sha256", secret, salt, info, length));
  const info = Buffer.concat([Buffer.from("WebPush: info\0"), Buffer.from(keys.p256dh, "base64url"), sender]);
  const ikm = hkdf(pair.computeSecret(sender), Buffer.from(keys.auth, "base64url"), info, 32);
  const contentKey = hkdf(ikm, salt, Buffer.from("Content-Encoding: aes128gcm\0"), 16);
  const decipher = createDecipheriv("aes-128-gcm", contentKey, hkdf(ikm, salt, Buffer.from("Content-Encoding: nonce\0"), 12));
  decipher.setAuthTag(record.subarray(-16));
  const padded = Buffer.concat([decipher.update(record.subarray(0, -16)), decipher.final()]);
  const end = padded.findLastIndex((byte) => byte !== 0);
  if (padded[end] !== 2) throw new Error("not the last record");
  return padded.subarray(0, end);
}

/** Verifies an `authorization: vapid t=…, k=…`; why not, where it does not hold. */
export function readVapid(header: string): { claims: Taken["claims"]; signedBy: string } | string {
  const [, head, payload, signature, signedBy] = /^vapid t=([\w-]+)\.([\w-]+)\.([\w-]+), k=([\w-]{87})$/.exec(header) ?? [];
  if (head === undefined || signedBy === undefined) return "no authorization";
  const point = Buffer.from(signedBy, "base64url");
  const [x, y] = [point.subarray(1, 33), point.subarray(33)].map((half) => half.toString("base64url"));
  const publicKey = createPublicKey({ key: { kty: "EC", crv: "P-256", x: x!, y: y! }, format: "jwk" });
  const isRight = verify(
    "sha256",
    Buffer.from(`${head}.${payload}`),
    { key: publicKey, dsaEncoding: "ieee-p1363" },
    Buffer.from(signature!, "base64url"),
  );
  const [{ alg }, claims] = [head, payload!].map((part) => JSON.parse(Buffer.from(part, "base64url").toString()));
  return isRight && alg === "ES256" ? { claims, signedBy } : "a signature that does not hold";
}

/** Sends for as long as it is read, a gigabyte at most. */
function flood(response: Http2ServerResponse): void {
  response.writeHead(201, { "content-type": "text/plain" });
  const chunk = Buffer.alloc(1 << 16, "a");
  let left = 1 << 14;
  const more = (): void => {
    while (left-- > 0) if (!response.write(chunk)) return void response.once("drain", more);
    response.end();
  };
  more();
}
