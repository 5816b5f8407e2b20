import { PeykError } from "../protocol/errors.ts";
import { type ClientFrame, type Cursor, type HelloFrame, VERSION } from "../protocol/frames.ts";
import { checkName } from "../protocol/names.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import { CloseCode } from "../protocol/codes.ts";
import type { ConnectionRequest } from "../ports/connection.ts";
import type { AttachRequest } from "../delivery/attach.ts";
import { deviceName, type Session } from "../delivery/session.ts";
import type { Identity } from "./authorization.ts";
import type { IdentityCheck } from "./identity_check.ts";
import type { Link } from "./link.ts";

/** What a handshake needs of the gateway. */
export interface HandshakeHost {
  readonly identities: IdentityCheck;
  readonly clock: Clock;
  /** Signs out the devices that hello says were signed out. */
  endSignedOut(link: Link, hello: HelloFrame): Promise<void>;
  attach(request: AttachRequest): Promise<void>;
  welcome(link: Link, session: Session, identity: Identity, recovery: Parameters<AttachRequest["ready"]>[1]): void;
}

/** How long a connection may take from its opening to its welcome. */
const HELLO_MS = 10_000;
/** Cursors of one hello, over all its pages. */
const MAX_CURSORS = 10_000;

/** From an open socket to a session: hello, its pages of cursors, the check of the token. Nothing refers to it after that. */
export class Handshake {
  readonly #link: Link;
  readonly #host: HandshakeHost;
  readonly #request: ConnectionRequest;
  readonly #timer: Timer;
  #hello: HelloFrame | undefined;
  #cursors: Cursor[] = [];
  #complete = false;
  /** Whose connection it is; undefined: that is being asked. */
  #userId: string | undefined;
  /** Users who were signed out while it was asked: the answer may be of before. */
  #signedOut: Set<string> | undefined;

  constructor(link: Link, request: ConnectionRequest, host: HandshakeHost) {
    this.#link = link;
    this.#host = host;
    this.#request = request;
    this.#timer = host.clock.setTimeout(
      () => link.fail(new PeykError("timeout", this.#missing, { retryable: true })),
      HELLO_MS,
    );
  }

  /** What there is no welcome for the lack of. */
  get #missing(): string {
    if (!this.#complete) return "no hello in time";
    return this.#userId === undefined ? "the token was not checked in time" : "the session could not be had in time";
  }

  /** @throws {PeykError} `unsupported`, `bad-name`, `bad-order`, `bad-frame` */
  frame(frame: ClientFrame): void {
    if (this.#complete) throw new PeykError("bad-order", `${frame.type} before the welcome`);
    if (frame.type === "hello" && this.#hello === undefined) {
      checkVersion(frame.version);
      checkName(frame.deviceId, "deviceId");
      for (const deviceId of frame.signedOut) checkName(deviceId, "signedOut");
      this.#hello = frame;
    } else if (frame.type !== "cursors" || this.#hello === undefined) {
      throw new PeykError("bad-order", `${frame.type} where hello belongs`);
    }
    this.#cursors.push(...frame.cursors);
    if (this.#cursors.length > MAX_CURSORS) {
      throw new PeykError("bad-frame", "too many cursors", { hint: `At most ${MAX_CURSORS}.` });
    }
    if (frame.more) return;
    this.#complete = true;
    this.#finish(this.#hello).catch((error: unknown) => this.#link.fail(error));
  }

  /** The connection is over, or has its session. */
  stop(): void {
    this.#host.clock.clearTimeout(this.#timer);
  }

  /** A user, or one device of theirs by its short name, was signed out. A device that said hello before that is not let in any more. */
  signedOut(userId: string, device: string | undefined): void {
    if (!this.#complete || (device !== undefined && deviceName(this.#hello!.deviceId) !== device)) return;
    if (this.#userId === undefined) (this.#signedOut ??= new Set()).add(userId);
    else if (this.#userId === userId) this.#link.close(CloseCode.signedOut, "signed out");
  }

  async #finish(hello: HelloFrame): Promise<void> {
    const { deviceId, temporary, token, visible, idleMs } = hello;
    const identity = await this.#host.identities.ask({ token: token ?? undefined, deviceId, request: this.#request });
    if (!this.#link.isOpen) return;
    if (this.#signedOut?.has(identity.userId)) return this.#link.close(CloseCode.signedOut, "signed out");
    this.#userId = identity.userId;
    await this.#host.endSignedOut(this.#link, hello);
    await this.#host.attach({
      userId: identity.userId,
      deviceId,
      temporary,
      visible,
      idleMs,
      cursors: this.#cursors,
      outlet: this.#link,
      ready: (session, recovery) => this.#host.welcome(this.#link, session, identity, recovery),
    });
  }
}

function checkVersion(version: number): void {
  if (version === VERSION) return;
  throw new PeykError("unsupported", `protocol version ${version}`, { hint: `This server speaks version ${VERSION}.` });
}
