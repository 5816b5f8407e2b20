import { Buffer } from "node:buffer";
import { SignJWT } from "jose";
import type { Clock } from "../../src/ports/clock.ts";
import type { ServiceReply, ServiceRequest } from "../push_service/service_request.ts";
import { readGrant } from "./grant.ts";
import type { Account } from "./service_account.ts";
import { type Retry, retry } from "./verdict.ts";

/** What asks for an access token over the network. */
export interface Requester {
  request(request: ServiceRequest): Promise<ServiceReply>;
}

const SCOPE = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/** The longest that Google takes. */
const ASSERTION_SECONDS = 3_600;
/** A token is renewed so long before its end, while it is still in use. */
const EARLY_MS = 300_000;
/** A token is not used any more so shortly before its end: it must last until the request arrives. */
const LAST_MS = 30_000;
/** After a renewal that failed, with the token still good, the next one is tried. */
const PAUSE_MS = 30_000;

interface Held {
  readonly token: string;
  /** Monotonic milliseconds: a wall clock that is set right must not make it last longer. */
  readonly renewAt: number;
  readonly endsAt: number;
}

/**
 * The access token of a service account (https://developers.google.com/identity/protocols/oauth2/service-account#httprest): one for
 * all requests of a project, renewed before it ends, and asked for once however many wait for it.
 */
export class AccessToken {
  readonly #account: Account;
  readonly #client: Requester;
  readonly #clock: Pick<Clock, "elapsed" | "now">;
  #held: Held | undefined;
  #asking: Promise<string | Retry> | undefined;
  #askedAt = -Infinity;

  constructor(account: Account, client: Requester, clock: Pick<Clock, "elapsed" | "now">) {
    this.#account = account;
    this.#client = client;
    this.#clock = clock;
  }

  /** @returns the token, or the verdict of a push that can't have one. It never rejects. */
  get(signal: AbortSignal): Promise<string | Retry> {
    const now = this.#clock.elapsed();
    const held = this.#held;
    if (held === undefined || now >= held.endsAt) return untilAborted(this.#ask(), signal);
    if (now >= held.renewAt && now >= this.#askedAt + PAUSE_MS) void this.#ask();
    return Promise.resolve(held.token);
  }

  /** The service did not accept it. The next push asks for another one; of a token that was replaced meanwhile nothing is learnt. */
  refuse(token: string): void {
    if (this.#held?.token === token) this.#held = undefined;
  }

  #ask(): Promise<string | Retry> {
    this.#asking ??= this.#request().finally(() => this.#asking = undefined);
    return this.#asking;
  }

  async #request(): Promise<string | Retry> {
    const { projectId, tokenUrl } = this.#account;
    const askedAt = this.#clock.elapsed();
    this.#askedAt = askedAt;
    let assertion: string;
    try {
      assertion = await this.#sign();
    } catch {
      // What the error says may hold a piece of the key.
      return retry("access token: the private key can't sign", "service");
    }
    const reply = await this.#client.request({
      lane: `${projectId} access token`,
      url: tokenUrl,
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: Buffer.from(new URLSearchParams({ grant_type: GRANT_TYPE, assertion }).toString()),
      // No push's own end ends it: others wait for the same. The client does when it closes.
      signal: new AbortController().signal,
    });
    const grant = readGrant(reply, this.#clock.now());
    if ("verdict" in grant) return grant;
    const lifeMs = grant.seconds * 1_000;
    this.#held = {
      token: grant.token,
      renewAt: askedAt + Math.max(lifeMs - EARLY_MS, lifeMs / 2),
      endsAt: askedAt + Math.max(lifeMs - LAST_MS, lifeMs / 2),
    };
    return grant.token;
  }

  #sign(): Promise<string> {
    const { email, key, keyId, tokenUrl } = this.#account;
    const now = Math.floor(this.#clock.now() / 1_000);
    return new SignJWT({ scope: SCOPE })
      .setProtectedHeader({ alg: "RS256", typ: "JWT", ...keyId !== undefined && { kid: keyId } })
      .setIssuer(email)
      .setAudience(tokenUrl.href)
      .setIssuedAt(now)
      .setExpirationTime(now + ASSERTION_SECONDS)
      .sign(key);
  }
}

/** What is asked for goes on: others wait for it too. */
async function untilAborted(asking: Promise<string | Retry>, signal: AbortSignal): Promise<string | Retry> {
  const { promise: aborted, resolve } = Promise.withResolvers<Retry>();
  const abort = (): void => resolve(retry("aborted", "target"));
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([asking, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
