import type { KeyObject } from "node:crypto";
import { SignJWT } from "jose";

/** A key to sign with, and how the service knows it. */
export interface Signer {
  key: KeyObject;
  keyId: string;
  teamId: string;
  /** Milliseconds since 1970. Default: the machine's clock. */
  now?: () => number;
}

/** A token, or one that is being signed: compared as an object, so that two sends never ask for two new ones. */
export interface Signed {
  readonly text: Promise<string>;
  /** When it was signed, milliseconds since 1970. */
  readonly at: number;
  /** Tokens of one series may share a connection. The service's word "expired" begins another. */
  readonly series: number;
}

/** The service takes a token for an hour. It is renewed before, while requests with the former one are under way. */
const RENEW_AFTER_MS = 50 * 60_000;
/** A key whose token changes more often is answered TooManyProviderTokenUpdates. */
const LEAST_BETWEEN_MS = 20 * 60_000;
/** Signed as of a little earlier: a clock that is some seconds ahead must not make a token of the future. */
const BACKDATED_MS = 60_000;

/**
 * The provider token of one key: a JWT (RFC 7519) that is signed with ES256, for all requests and connections with that key. It is
 * signed when it is first needed, so an idle hour costs nothing and a token is as young as it can be.
 *
 * @see https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns
 */
export class ProviderToken {
  readonly #signer: Signer;
  readonly #now: () => number;
  #signed: Signed | undefined;
  #series = 0;
  /** When the service's word last made a new token. */
  #replacedAt: number | undefined;

  constructor(signer: Signer) {
    this.#signer = signer;
    this.#now = signer.now ?? (() => Date.now());
  }

  /** The token to send with now. */
  current(): Signed {
    const age = this.#now() - (this.#signed?.at ?? -Infinity);
    // Where the clock was set back the token is of a time that has not come yet.
    if (this.#signed === undefined || age > RENEW_AFTER_MS || age < -BACKDATED_MS) this.#signed = this.#sign();
    return this.#signed;
  }

  /**
   * Another token than this one, which the service calls expired.
   * @returns undefined when a new one was made for that reason less than 20 minutes ago: another would not help (the clock is wrong,
   * most likely), and the service would refuse the key for a while
   */
  another(expired: Signed): Signed | undefined {
    if (this.#signed !== expired) return this.current();
    const now = this.#now();
    if (this.#replacedAt !== undefined && now - this.#replacedAt < LEAST_BETWEEN_MS) return undefined;
    this.#replacedAt = now;
    this.#series++;
    return this.#signed = this.#sign();
  }

  #sign(): Signed {
    const { key, keyId, teamId } = this.#signer;
    const at = this.#now();
    const text = new SignJWT()
      .setProtectedHeader({ alg: "ES256", kid: keyId })
      .setIssuer(teamId)
      .setIssuedAt(Math.floor((at - BACKDATED_MS) / 1_000))
      .sign(key);
    const signed = { text, at, series: this.#series };
    // What could not be signed is tried again by the next send.
    text.catch(() => {
      if (this.#signed === signed) this.#signed = undefined;
    });
    return signed;
  }
}
