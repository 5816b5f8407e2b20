import { CloseCode } from "../protocol/codes.ts";
import { encodeServerFrame } from "../protocol/codec.ts";
import { PeykError } from "../protocol/errors.ts";
import { type ClientFrame, type Recovery, VERSION } from "../protocol/frames.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Acceptor, Connection, ConnectionEvents, ConnectionRequest } from "../ports/connection.ts";
import type { Logger } from "../ports/logger.ts";
import type { AttachRequest, Attachments } from "../delivery/attach.ts";
import type { CatchUp } from "../delivery/catch_up.ts";
import type { Counters } from "../delivery/counters.ts";
import type { Departures } from "../delivery/leave.ts";
import type { Session } from "../delivery/session.ts";
import type { Authenticate, Identity } from "./authorization.ts";
import { Flusher } from "./flusher.ts";
import { checkedIdentity, Handshake, type HandshakeHost } from "./handshake.ts";
import { Heartbeat } from "./heartbeat.ts";
import { Link, type LinkHost } from "./link.ts";
import type { Requests } from "./requests.ts";

/** What the gateway works with. */
export interface GatewayParts {
  authenticate: Authenticate;
  heartbeatMs: number;
  maxFrameBytes: number;
  maxTopics: number;
  drainWindowMs: number;
  attachments: Attachments;
  departures: Departures;
  catchUp: CatchUp;
  requests: Requests;
  counters: Counters;
  clock: Clock;
  logger: Logger;
}

/** The longest that a client holds an ack back. */
const ACK_MS = 250;
/** How long before its end a client is asked for a fresh token, at most. */
const RENEW_MS = 30_000;
/** Timers of runtimes count in 31 bits. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Takes connections in, brings them to their session, and hands on what they bring. */
export class Gateway implements Acceptor, LinkHost, HandshakeHost {
  readonly flusher: Flusher;
  readonly heartbeat: Heartbeat;
  readonly maxFrameBytes: number;
  readonly authenticate: Authenticate;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly #parts: GatewayParts;
  readonly #links = new Set<Link>();
  readonly #handshakes = new Map<Link, Handshake>();
  /** Of connections whose token ends. */
  readonly #expiries = new Map<Link, Timer>();
  #draining = false;
  #empty: (() => void)[] = [];

  constructor(parts: GatewayParts) {
    this.#parts = parts;
    this.clock = parts.clock;
    this.logger = parts.logger;
    this.authenticate = parts.authenticate;
    this.maxFrameBytes = parts.maxFrameBytes;
    this.flusher = new Flusher(parts.clock);
    this.heartbeat = new Heartbeat(parts.clock, parts.heartbeatMs);
  }

  accept(connection: Connection, request: ConnectionRequest): ConnectionEvents {
    const link = new Link(connection, this);
    this.#links.add(link);
    this.#handshakes.set(link, new Handshake(link, request, this));
    if (this.#draining) link.close(CloseCode.drain, "the node drains");
    return link;
  }

  frame(link: Link, frame: ClientFrame): void {
    if (link.session !== undefined) this.#parts.requests.handle(link, link.session, frame);
    else this.#handshakes.get(link)!.frame(frame);
  }

  attach(request: AttachRequest): Promise<void> {
    return this.#parts.attachments.attach(request);
  }

  /** The session has this connection now: the welcome goes out before anything else can. */
  welcome(link: Link, session: Session, identity: Identity, recovery: Recovery[]): void {
    this.#endHandshake(link);
    if (!link.isOpen) return this.#parts.departures.closed(session, link, "lost");
    link.session = session;
    const { heartbeatMs, maxFrameBytes, maxTopics } = this.#parts;
    link.write(encodeServerFrame({
      type: "welcome",
      version: VERSION,
      userId: identity.userId,
      time: this.clock.now(),
      heartbeatMs,
      ackMs: ACK_MS,
      limits: { frameBytes: maxFrameBytes, topics: maxTopics },
      recovery,
    }));
    this.heartbeat.add(link);
    this.#expireAt(link, identity.expiresAt);
  }

  drained(session: Session): void {
    this.#parts.catchUp.resume(session);
  }

  closed(link: Link, how: "clean" | "lost"): void {
    const { counters, departures } = this.#parts;
    const { session } = link;
    if (session === undefined) counters.refused++;
    this.#endHandshake(link);
    this.#clearExpiry(link);
    this.#links.delete(link);
    link.session = undefined;
    if (session !== undefined) departures.closed(session, link, this.#draining ? "drained" : how);
    if (this.#links.size === 0) for (const resolve of this.#empty.splice(0)) resolve();
  }

  /** @throws {PeykError} `unauthorized`, also when the token is another user's */
  async renewToken(link: Link, session: Session, token: string): Promise<void> {
    const identity = await checkedIdentity(this, { token, deviceId: session.deviceId, request: undefined });
    if (identity.userId !== session.userId) {
      const error = new PeykError("unauthorized", "a token of another user", { hint: "Another user needs a connection of their own." });
      link.fail(error);
      throw error;
    }
    this.#expireAt(link, identity.expiresAt);
  }

  get connections(): number {
    return this.#links.size;
  }

  /** Asks every client to come back elsewhere within the window. Resolves when all have left, or the window is over. */
  async drain(): Promise<void> {
    this.#draining = true;
    const { drainWindowMs } = this.#parts;
    const frame = encodeServerFrame({ type: "drain", windowMs: drainWindowMs });
    for (const link of this.#links) {
      link.write(frame);
      link.flush();
    }
    if (this.#links.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = this.clock.setTimeout(resolve, drainWindowMs);
      this.#empty.push(() => {
        this.clock.clearTimeout(timer);
        resolve();
      });
    });
  }

  /** Ends every connection that is left; their clients come back. */
  close(): void {
    this.#draining = true;
    for (const link of [...this.#links]) link.close(CloseCode.drain, "the node closes");
  }

  #endHandshake(link: Link): void {
    this.#handshakes.get(link)?.stop();
    this.#handshakes.delete(link);
  }

  #expireAt(link: Link, expiresAt: number | undefined): void {
    this.#clearExpiry(link);
    if (expiresAt === undefined || !link.isOpen) return;
    const left = expiresAt - this.clock.now();
    const askFirst = Math.max(left - RENEW_MS, left / 2);
    this.#expiries.set(link, this.clock.setTimeout(() => {
      if (askFirst > MAX_TIMER_MS) return this.#expireAt(link, expiresAt);
      const inMs = expiresAt - this.clock.now();
      link.write(encodeServerFrame({ type: "expiring", inMs: Math.max(0, inMs) }));
      const end = (): void => link.fail(new PeykError("expired", "the token has expired", { retryable: true }));
      this.#expiries.set(link, this.clock.setTimeout(end, Math.max(0, inMs)));
    }, Math.min(askFirst, MAX_TIMER_MS)));
  }

  #clearExpiry(link: Link): void {
    const timer = this.#expiries.get(link);
    if (timer !== undefined) this.clock.clearTimeout(timer);
    this.#expiries.delete(link);
  }
}
