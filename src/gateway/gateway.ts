import { CloseCode, closeName } from "../protocol/codes.ts";
import { encodeServerFrame } from "../protocol/codec.ts";
import { PeykError } from "../protocol/errors.ts";
import { type ClientFrame, type HelloFrame, type Recovery, VERSION } from "../protocol/frames.ts";
import type { Clock } from "../ports/clock.ts";
import type { Acceptor, Connection, ConnectionEvents, ConnectionRequest, UpgradeRefusal } from "../ports/connection.ts";
import type { Logger } from "../ports/logger.ts";
import type { Attachments, AttachRequest } from "../delivery/attach.ts";
import type { CatchUp } from "../delivery/catch_up.ts";
import type { Counters } from "../delivery/counters.ts";
import type { Lease } from "../delivery/lease.ts";
import type { Departures } from "../delivery/leave.ts";
import type { Outlet } from "../delivery/outlet.ts";
import { PassingMap } from "../delivery/passing_map.ts";
import type { Session } from "../delivery/session.ts";
import type { SignOut } from "../delivery/sign_out.ts";
import type { Tick } from "../delivery/tick.ts";
import type { Authenticate, Identity } from "./authorization.ts";
import { Expiries } from "./expiries.ts";
import { Flusher } from "./flusher.ts";
import { Handshake, type HandshakeHost } from "./handshake.ts";
import { Heartbeat } from "./heartbeat.ts";
import { IdentityCheck } from "./identity_check.ts";
import { Link, type LinkHost } from "./link.ts";
import { Refusals } from "./refusals.ts";
import type { Requests } from "./requests.ts";

/** What the gateway works with. */
export interface GatewayParts {
  authenticate: Authenticate;
  heartbeatMs: number;
  maxFrameBytes: number;
  maxTopics: number;
  ackTimeoutMs: number;
  inputMs: number;
  drainWindowMs: number;
  attachments: Attachments;
  departures: Departures;
  catchUp: CatchUp;
  signOut: SignOut;
  requests: Requests;
  counters: Counters;
  tick: Tick;
  lease: Lease;
  clock: Clock;
  logger: Logger;
}

/**
 * The longest that a client holds an ack back while messages keep coming; after a quiet spell it acks at once. An ack costs the
 * server a read, as much as several deliveries, so they are rare; but a message must be known as seen long before it is overdue.
 */
const MAX_ACK_MS = 500;
const ACKS_PER_TIMEOUT = 6;
/** Frames a second from one connection, on average over a heartbeat. An honest client comes nowhere near. */
const FRAMES_PER_SECOND = 400;
/** What may come in one heartbeat however short it is: a client's queue, after it was offline. */
const LEAST_FRAMES_PER_BEAT = 10_000;

/** Takes connections in, brings them to their session, and hands on what they bring. */
export class Gateway implements Acceptor, LinkHost, HandshakeHost {
  readonly flusher: Flusher;
  readonly heartbeat: Heartbeat;
  readonly maxFrameBytes: number;
  readonly maxFramesPerBeat: number;
  readonly identities: IdentityCheck;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly #parts: GatewayParts;
  readonly #links = new Set<Link>();
  readonly #handshakes = new PassingMap<Link, Handshake>();
  readonly #expiries: Expiries;
  readonly #refusals: Refusals;
  #accepted = 0;
  #draining = false;
  #drained: Promise<void> | undefined;
  #whenEmpty: (() => void) | undefined;

  constructor(parts: GatewayParts) {
    this.#parts = parts;
    this.clock = parts.clock;
    this.logger = parts.logger;
    this.identities = new IdentityCheck(parts.authenticate, parts.clock, parts.logger);
    this.maxFrameBytes = parts.maxFrameBytes;
    this.maxFramesPerBeat = Math.max(LEAST_FRAMES_PER_BEAT, FRAMES_PER_SECOND * parts.heartbeatMs / 1_000);
    this.flusher = new Flusher(parts.tick, parts.lease);
    this.heartbeat = new Heartbeat(parts.clock, parts.heartbeatMs);
    this.#expiries = new Expiries(parts.clock);
    this.#refusals = new Refusals(parts.counters, parts.clock, parts.logger);
  }

  accept(connection: Connection, request: ConnectionRequest): ConnectionEvents {
    const link = new Link(connection, ++this.#accepted, this);
    this.#links.add(link);
    if (this.#draining) link.close(CloseCode.drain, "the node drains");
    else this.#handshakes.set(link, new Handshake(link, request, this));
    return link;
  }

  refused(reason: UpgradeRefusal, what: string, hint?: string): void {
    this.#refusals.add(reason, what, hint);
  }

  frame(link: Link, frame: ClientFrame): void {
    if (link.session !== undefined) this.#parts.requests.handle(link, link.session, frame);
    else this.#handshakes.get(link)!.frame(frame);
  }

  attach(request: AttachRequest): Promise<void> {
    return this.#parts.attachments.attach(request);
  }

  async endSignedOut(link: Link, { deviceId, signedOut }: HelloFrame): Promise<void> {
    for (const gone of new Set(signedOut)) await this.#parts.signOut.endBefore(link, { deviceId }, gone);
  }

  /** The session has this connection now: the welcome goes out before anything else can. */
  welcome(link: Link, session: Session, identity: Identity, recovery: Recovery[]): void {
    if (!link.isOpen) return this.#leave(link, session);
    this.#endHandshake(link);
    link.session = session;
    const { ackTimeoutMs, heartbeatMs, inputMs, maxFrameBytes, maxTopics } = this.#parts;
    link.write(encodeServerFrame({
      type: "welcome",
      version: VERSION,
      userId: identity.userId,
      time: this.clock.now(),
      heartbeatMs,
      ackMs: Math.ceil(Math.min(MAX_ACK_MS, ackTimeoutMs / ACKS_PER_TIMEOUT)),
      inputMs,
      limits: { frameBytes: maxFrameBytes, topics: maxTopics },
      recovery,
    }));
    this.heartbeat.add(link);
    this.#expiries.set(link, identity.expiresAt);
  }

  /** @throws {PeykError} `unauthorized`, also when the token is another user's: the connection goes on until its own token ends */
  async renewToken(link: Link, session: Session, token: string): Promise<void> {
    const identity = await this.identities.ask({ token, deviceId: session.deviceId, request: undefined });
    if (!link.isOpen) return;
    if (identity.userId === session.userId) return this.#expiries.set(link, identity.expiresAt);
    throw new PeykError("unauthorized", "a token of another user", { hint: "Another user needs a connection of their own." });
  }

  /** @throws {PeykError} as {@link IdentityCheck.ask} */
  async identify({ deviceId }: Session, token: string): Promise<string> {
    return (await this.identities.ask({ token, deviceId, request: undefined })).userId;
  }

  /**
   * A user, or one device of theirs by its short name, was signed out: nothing of theirs that waits has an effect any more.
   * @param before of the hellos only those of connections that are older than this one
   */
  signedOut(userId: string, device: string | undefined, before?: Outlet): void {
    for (const link of this.#handshakes.keys()) {
      if (before === undefined || link.order < before.order) this.#handshakes.get(link)?.signedOut(userId, device);
    }
    this.#parts.requests.signedOut(userId, device);
  }

  /** What other nodes did meanwhile is not known here: who waits to be let in is to come again. */
  lapsed(): void {
    for (const link of this.#handshakes.keys()) link.close(CloseCode.drain, "the node was not heard of for a while");
  }

  filled(session: Session): void {
    this.#parts.catchUp.filled(session);
  }

  drained(session: Session): void {
    this.#parts.catchUp.resume(session);
  }

  closed(link: Link, code: number | undefined): void {
    const { session } = link;
    if (session === undefined) this.#refusals.add(closeName(code) ?? "left");
    else this.#leave(link, session);
    link.session = undefined;
    this.#endHandshake(link);
    this.#expiries.clear(link);
    this.#links.delete(link);
    if (this.#links.size === 0) this.#whenEmpty?.();
  }

  get connections(): number {
    return this.#links.size;
  }

  /** Asks every client to come back elsewhere within the window. Resolves when all have left, or the window is over. */
  drain(): Promise<void> {
    return this.#drained ??= this.#drain();
  }

  async #drain(): Promise<void> {
    this.#draining = true;
    const { drainWindowMs } = this.#parts;
    const frame = encodeServerFrame({ type: "drain", windowMs: drainWindowMs });
    for (const link of [...this.#links]) {
      if (link.session !== undefined) {
        link.write(frame);
        link.flush();
      } else link.close(CloseCode.drain, "the node drains");
    }
    if (this.#links.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = this.clock.setTimeout(resolve, drainWindowMs);
      this.#whenEmpty = () => {
        this.clock.clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Ends every connection that is left; their clients come back. */
  close(): void {
    this.#draining = true;
    for (const link of [...this.#links]) link.close(CloseCode.drain, "the node closes");
    this.#refusals.close();
  }

  /** The session loses its connection, if that is still this one. */
  #leave(link: Link, session: Session): void {
    this.#parts.departures.closed(session, link, this.#draining ? "drained" : link.ended!);
    this.#parts.requests.left(session);
  }

  #endHandshake(link: Link): void {
    this.#handshakes.get(link)?.stop();
    this.#handshakes.delete(link);
  }
}
