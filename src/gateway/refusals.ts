import type { Counters, Refused } from "../delivery/counters.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Logger } from "../ports/logger.ts";

/** How often each reason is in the log, milliseconds. */
const LOG_EVERY_MS = 60_000;
/** How much of an upgrade's path, origin or host goes into the log, characters. */
const MAX_WHAT = 200;

const UPGRADE = "an upgrade was refused";
const HELLO = "a connection was refused before its welcome";

/** What the log says of a reason, and what to do about it. Reasons that are not here are part of normal operation, and only counted. */
const told: { readonly [reason in Refused]?: { readonly message: string; readonly hint: string } } = {
  path: {
    message: UPGRADE,
    hint: "No gateway serves this path: compare the client's URL with the option `path`. A proxy may rewrite it.",
  },
  origin: {
    message: UPGRADE,
    hint:
      "List this origin in the gateway's option `origins`, or let the proxy in front pass on the Host header as the browser sent it, " +
      "port included (nginx: proxy_set_header Host $http_host), or send it as X-Forwarded-Host and be named in `trustProxy`.",
  },
  host: { message: UPGRADE, hint: "The Host header must name a host. A proxy in front may set it wrongly or drop it." },
  subprotocol: {
    message: UPGRADE,
    hint: 'Clients name the subprotocol "peyk.v1". A proxy in front may drop Sec-WebSocket-Protocol.',
  },
  handshake: {
    message: UPGRADE,
    hint: "This was no WebSocket handshake. A proxy in front must speak HTTP/1.1 and pass on Upgrade and Connection " +
      '(nginx: proxy_http_version 1.1, proxy_set_header Upgrade $http_upgrade, proxy_set_header Connection "upgrade").',
  },
  taken: {
    message: "a socket of this gateway was ended by other code on this server",
    hint: "Another `upgrade` listener takes or ends sockets of this path. serveNode keeps them from it; with upgradeHandler, " +
      "return when it says true.",
  },
  unauthorized: { message: HELLO, hint: "authenticate() returned null for its token, or the token is another user's." },
  protocol: {
    message: HELLO,
    hint: "It sent something else than the protocol's frames, so it is no Peyk client, or one that is broken.",
  },
  version: { message: HELLO, hint: "It speaks another version of the protocol: update the client, or the server." },
  tooLarge: { message: HELLO, hint: "Its first frame is larger than `limits.frameBytes`." },
  helloTimeout: { message: HELLO, hint: "No hello within 10 s, or authenticate() or the storage took longer." },
};

/** The latest of one reason: what it was refused for, and what to do about it, where that is more than the reason says. */
interface Latest {
  what: string | undefined;
  hint: string | undefined;
}

/** Refusals of one reason since the last line in the log. */
interface Since {
  timer: Timer;
  latest: Latest | undefined;
  repeated: number;
}

/** Counts the upgrades and connections that are refused, and tells the log: the first of each reason at once, then all of a minute in one line. */
export class Refusals {
  readonly #counters: Counters;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #since = new Map<Refused, Since>();

  constructor(counters: Counters, clock: Clock, logger: Logger) {
    this.#counters = counters;
    this.#clock = clock;
    this.#logger = logger;
  }

  /**
   * @param asked what it was refused for, where that is more than the reason says
   * @param hint what to do about it, where that is more than the reason says
   */
  add(reason: Refused, asked?: string, hint?: string): void {
    this.#counters.refused[reason]++;
    if (told[reason] === undefined) return;
    const latest = { what: asked?.slice(0, MAX_WHAT).toWellFormed(), hint };
    const since = this.#since.get(reason);
    if (since !== undefined) {
      since.latest = latest;
      since.repeated++;
      return;
    }
    this.#log(reason, latest);
    this.#wait(reason);
  }

  #wait(reason: Refused): void {
    const timer = this.#clock.setTimeout(() => {
      if (this.#tell(reason)) this.#wait(reason);
    }, LOG_EVERY_MS);
    this.#since.set(reason, { timer, latest: undefined, repeated: 0 });
  }

  /** @returns whether there was something to tell */
  #tell(reason: Refused): boolean {
    const { latest, repeated } = this.#since.get(reason)!;
    this.#since.delete(reason);
    if (latest !== undefined) this.#log(reason, latest, repeated);
    return latest !== undefined;
  }

  #log(reason: Refused, { what, hint }: Latest, repeated?: number): void {
    const { message, hint: usual } = told[reason]!;
    this.#logger.warn(message, {
      reason,
      ...what === undefined ? {} : { what },
      ...repeated === undefined ? {} : { repeated },
      hint: hint ?? usual,
    });
  }

  /** Tells what was counted. */
  close(): void {
    for (const [reason, { timer }] of this.#since) {
      this.#clock.clearTimeout(timer);
      this.#tell(reason);
    }
  }
}
