import { Buffer } from "node:buffer";
import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import {
  constants,
  createSecureServer,
  type Http2SecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";
import { decodeProtectedHeader, jwtVerify } from "jose";
import { certificate, key as serverKey } from "../tls/certificate.ts";

/** A key as developer.apple.com gives it out, and what the service knows of it. */
export interface FakeKey {
  readonly key: string;
  readonly keyId: string;
  readonly teamId: string;
  readonly publicKey: KeyObject;
}

/** Makes a key for a team. */
export function fakeKey(keyId = "KEY0000001", teamId = "TEAM000001"): FakeKey {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  return { key, keyId, teamId, publicKey: createPublicKey(key) };
}

/** A request as it arrived. */
export interface FakeRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** Which connection it came over, from 1. */
  readonly connection: number;
}

/** What the service answers; by itself it takes what is in order. */
export interface FakeAnswer {
  readonly status: number;
  readonly reason?: string;
  readonly timestamp?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** In place of the JSON with `reason` and `timestamp`. */
  readonly body?: string;
}

/** Undefined: it is taken. "hang": nothing is answered. "drop": it is taken, and the connection breaks before the answer. */
export type FakeDecision = FakeAnswer | "hang" | "drop" | undefined;

/** How the service behaves, beside what Apple documents. */
export interface FakeOptions {
  readonly keys?: readonly FakeKey[];
  /** Decides on what passed all checks of the form and the token. Requests are counted from 1, in the order of their arrival. */
  answer?(request: FakeRequest, count: number): FakeDecision | Promise<FakeDecision>;
  /**
   * Asked when a stream begins, in their order, counted from 1. "refuse": REFUSED_STREAM and no GOAWAY. "goaway": the service begins
   * with no stream from this one on, and says so.
   */
  arrive?(count: number): "refuse" | "goaway" | undefined;
  /** The service's clock, milliseconds since 1970. */
  now?(): number;
  /** Streams that a connection may have once it has shown a valid token. Default 1,000. */
  readonly streams?: number;
  /** Streams that a connection may have before that, as its settings say. Default 1. */
  readonly firstStreams?: number;
}

const HOUR_MS = 3_600_000;
const PUSH_TYPES = [
  "alert",
  "background",
  "voip",
  "complication",
  "fileprovider",
  "mdm",
  "liveactivity",
  "pushtotalk",
  "location",
];

/**
 * Apple's push service as far as it is documented, over HTTP/2 and TLS: it checks the form of requests, the signature and age of
 * provider tokens and how often they change, and keeps the rules of streams.
 */
export class FakeApns {
  readonly requests: FakeRequest[] = [];
  /** How often each apns-id was taken. */
  readonly taken = new Map<string, number>();
  /** Provider tokens that arrived, in the order in which they came first. */
  readonly tokens: string[] = [];
  /** Streams that began, and connections that were opened. */
  streams = 0;
  connections = 0;
  /** The most streams that were open on a connection that had shown no valid token. */
  widestUnproven = 0;
  #port = 0;
  readonly #options: FakeOptions;
  readonly #server: Http2SecureServer;
  readonly #sessions = new Set<Session>();
  /** Tokens that were verified before. */
  readonly #signed = new Map<string, Promise<number | undefined>>();

  private constructor(options: FakeOptions) {
    this.#options = options;
    this.#server = createSecureServer({
      cert: certificate,
      key: serverKey,
      settings: { maxConcurrentStreams: options.firstStreams ?? 1 },
    });
    this.#server.on("session", (session) => this.#opened(session));
  }

  static async start(options: FakeOptions = {}): Promise<FakeApns> {
    const fake = new FakeApns(options);
    await new Promise<void>((resolve) => fake.#server.listen(0, "127.0.0.1", resolve));
    fake.#port = (fake.#server.address() as AddressInfo).port;
    return fake;
  }

  get origin(): string {
    return `https://localhost:${this.#port}`;
  }

  /** Connections that are open. */
  get open(): number {
    return this.#sessions.size;
  }

  /** Bytes of bodies. */
  get bytes(): number {
    return this.requests.reduce((sum, { body }) => sum + Buffer.byteLength(body), 0);
  }

  async close(): Promise<void> {
    for (const { session } of this.#sessions) session.destroy();
    if (this.#server.listening) await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #opened(session: ServerHttp2Session): void {
    const state: Session = {
      session,
      number: ++this.connections,
      isProven: false,
      open: 0,
      lastStream: Infinity,
      tokens: new Map(),
    };
    this.#sessions.add(state);
    session.on("error", () => undefined);
    session.on("close", () => void this.#sessions.delete(state));
    session.on("stream", (stream, headers) => this.#began(state, stream, headers));
  }

  #began(state: Session, stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const { arrive } = this.#options;
    stream.on("error", () => undefined);
    if (stream.id! > state.lastStream) return;
    const fate = arrive?.(++this.streams);
    if (fate === "refuse") return stream.close(constants.NGHTTP2_REFUSED_STREAM);
    if (fate === "goaway") {
      state.lastStream = stream.id! - 2;
      return state.session.goaway(constants.NGHTTP2_NO_ERROR, state.lastStream);
    }
    state.open++;
    if (!state.isProven) this.widestUnproven = Math.max(this.widestUnproven, state.open);
    stream.on("close", () => state.open--);
    const chunks: Uint8Array[] = [];
    stream.on("data", (chunk: Uint8Array) => void chunks.push(chunk));
    stream.on("end", () => {
      const body = Buffer.concat(chunks).toString();
      const request = { path: headers[":path"] ?? "", headers, body, connection: state.number };
      void this.#answer(state, stream, request, this.requests.push(request));
    });
  }

  async #answer(state: Session, stream: ServerHttp2Stream, request: FakeRequest, count: number): Promise<void> {
    const { answer, streams = 1_000 } = this.#options;
    const refused = await this.#tokenFault(state, request.headers) ?? formFault(request);
    if (refused?.status !== 403 && refused?.status !== 429 && !state.isProven) {
      state.isProven = true;
      if (!state.session.destroyed) state.session.settings({ maxConcurrentStreams: streams });
    }
    const said = refused ?? await answer?.(request, count) ?? { status: 200 };
    const id = String(request.headers["apns-id"]);
    if (said === "drop" || (said !== "hang" && said.status === 200)) this.taken.set(id, (this.taken.get(id) ?? 0) + 1);
    if (said === "drop") return state.session.destroy();
    if (said === "hang" || stream.destroyed || stream.closed) return;
    const { status, reason, timestamp, headers, body } = said;
    stream.respond({ ":status": status, "apns-id": id, ...headers });
    stream.end(body ?? (reason === undefined ? "" : JSON.stringify({ reason, timestamp })));
  }

  async #tokenFault(state: Session, { authorization = "" }: IncomingHttpHeaders): Promise<FakeAnswer | undefined> {
    const now = this.#options.now?.() ?? Date.now();
    const [, token] = /^bearer (\S+)$/.exec(authorization) ?? [];
    if (token === undefined) return { status: 403, reason: "MissingProviderToken" };
    if (!this.tokens.includes(token)) this.tokens.push(token);
    const signed = this.#signed.get(token) ?? this.#verify(token);
    this.#signed.set(token, signed);
    const issuedAt = await signed;
    if (issuedAt === undefined || issuedAt > now) return { status: 403, reason: "InvalidProviderToken" };
    if (issuedAt < now - HOUR_MS) return { status: 403, reason: "ExpiredProviderToken" };
    state.tokens.set(token, issuedAt);
    const [last = 0, before = -Infinity] = [...state.tokens.values()].sort((a, b) => b - a);
    if (last - before < HOUR_MS / 3) return { status: 429, reason: "TooManyProviderTokenUpdates" };
    return undefined;
  }

  /** When a token was signed, milliseconds since 1970; undefined when none of the keys signed it. */
  async #verify(token: string): Promise<number | undefined> {
    const { keys = [] } = this.#options;
    try {
      const key = keys.find(({ keyId }) => keyId === decodeProtectedHeader(token).kid)!;
      const { payload } = await jwtVerify(token, key.publicKey, { issuer: key.teamId, algorithms: ["ES256"] });
      return payload.iat! * 1_000;
    } catch {
      return undefined;
    }
  }
}

/** A connection. */
interface Session {
  readonly session: ServerHttp2Session;
  readonly number: number;
  isProven: boolean;
  open: number;
  /** The last stream that the service begins with. */
  lastStream: number;
  /** Valid provider tokens that it has shown, and when they were signed. */
  readonly tokens: Map<string, number>;
}

function formFault({ path, headers, body }: FakeRequest): FakeAnswer | undefined {
  const bad = (reason: string, status = 400): FakeAnswer => ({ status, reason });
  if (headers[":method"] !== "POST") return bad("MethodNotAllowed", 405);
  if (!/^\/3\/device\/[^/?]*$/.test(path)) return bad("BadPath", 404);
  if (path === "/3/device/") return bad("MissingDeviceToken");
  if (!/^\/3\/device\/([0-9a-f]{2})+$/i.test(path)) return bad("BadDeviceToken");
  const { "apns-topic": topic, "apns-push-type": type, "apns-priority": priority = "10", "apns-expiration": expiration = "0" } =
    headers;
  if (topic === undefined || topic === "") return bad("MissingTopic");
  if (!PUSH_TYPES.includes(String(type))) return bad("InvalidPushType");
  if (!["10", "5", "1"].includes(String(priority)) || (type === "background" && priority === "10")) return bad("BadPriority");
  if (!/^\d{1,15}$/.test(String(expiration))) return bad("BadExpirationDate");
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(String(headers["apns-id"]))) return bad("BadMessageId");
  if (Buffer.byteLength(String(headers["apns-collapse-id"] ?? "")) > 64) return bad("BadCollapseId");
  if (body === "") return bad("PayloadEmpty");
  return Buffer.byteLength(body) > 4_096 ? bad("PayloadTooLarge", 413) : undefined;
}
