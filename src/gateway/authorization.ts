import { PeykError } from "../protocol/errors.ts";
import type { MessageOptions, OutgoingMessage } from "../protocol/message.ts";
import type { Clock } from "../ports/clock.ts";
import type { ConnectionRequest } from "../ports/connection.ts";
import type { Logger } from "../ports/logger.ts";
import { answerInTime } from "../delivery/deadline.ts";
import type { Topic } from "../protocol/names.ts";

/** What a client shows when it comes. */
export interface Credentials {
  /** As the client sent it; undefined when it sent none. */
  token: string | undefined;
  /** The device's secret name. */
  deviceId: string;
  /** The request that opened the socket, with headers and cookies; undefined when it renews its token or asks whose one is. */
  request: ConnectionRequest | undefined;
}

/** Whose connection it is. */
export interface Identity {
  userId: string;
  /**
   * When that ends, milliseconds since 1970: a JWT's `exp` times 1000. The client is asked for a fresh token before. Undefined: never.
   * What would be before 2001 is taken as seconds, and the log says so.
   */
  expiresAt?: number | undefined;
}

/**
 * Says whose connection it is, or null. A throw refuses the connection for now, as no answer within 10 seconds does, and what is no
 * identity (the log says then what is wrong with it): the client comes back.
 */
export type Authenticate = (credentials: Credentials) => Identity | null | Promise<Identity | null>;

/** Something that a client wants to do. */
export interface Action {
  userId: string;
  action: "publish" | "subscribe";
  topic: Topic;
  /** What is to be published. */
  message: OutgoingMessage | undefined;
  /** What the default rules say. */
  allowed: boolean;
}

/**
 * Decides about an action: true, false, or (for a publish) the message to publish instead. Anything else is a no. It has 10 seconds:
 * then the request is refused with `unavailable`, and what it says later has no effect.
 */
export type Authorize = (action: Action) => boolean | OutgoingMessage | Promise<boolean | OutgoingMessage>;

/**
 * Asks the embedding server about an action.
 * @throws {Unanswered} and what the callback failed with
 */
export function askAuthorize(
  authorize: Authorize,
  action: Action,
  parts: { clock: Clock; logger: Logger },
): Promise<boolean | OutgoingMessage> {
  return answerInTime(parts, "authorize()", authorize(action));
}

/**
 * By default a client may publish anything that can't be used to phish through somebody's lock screen.
 */
export function mayPublish(options: MessageOptions | undefined): boolean {
  return options === undefined ||
    (options.notification === undefined && options.silent !== true && options.useAsAlert !== true && options.urgency !== "high");
}

export function forbidden(what: string): PeykError {
  return new PeykError("forbidden", what, { hint: "The server's authorize() decides about that." });
}
