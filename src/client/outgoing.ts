import { PeykError } from "../protocol/errors.ts";
import type { ErrorFrame, OkFrame } from "../protocol/frames.ts";
import type { Credentials } from "./credentials.ts";
import { randomId, type Time } from "./environment.ts";
import type { RequestFrame } from "./leader.ts";

/** What waits for an answer or a connection, at most: requests, bytes, and how long. The engine remembers them for longer. */
const MOST_WAITING = 1_000;
const MOST_BYTES = 1024 * 1024;
const KEEP_MS = 12 * 3600_000;
/** How far numbers that are under way may be apart, for the engine remembers so many answers; and how much is under way. */
const WINDOW = 32;
const WINDOW_BYTES = 128 * 1024;
/** What a request weighs beside its payload, about. */
const FRAME_BYTES = 200;
/** When it could not be asked whose a token is, it is asked again. */
const ASK_AGAIN_MS = 5_000;

type WithoutRef<Frame> = Frame extends unknown ? Omit<Frame, "ref" | "line"> : never;
/** A request as it is made. */
export type Ask = WithoutRef<RequestFrame>;

/** By both clocks: the monotonic one may stand still while the machine sleeps, and the other one can be set. */
interface Moment {
  readonly elapsed: number;
  readonly now: number;
}

interface Request {
  readonly frame: Ask;
  readonly ref: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: PeykError) => void;
  /** It has its place in the line; else it is for now. */
  readonly isLined: boolean;
  /** Who made it. Undefined: that is not known yet, but with which token; null: it is a question that may be anybody's. */
  user: string | null | undefined;
  readonly token: Credentials["latest"];
  readonly bytes: number;
  readonly made: Moment;
  /** When it was said first, under which number. */
  said: { readonly at: Moment; readonly number: number } | undefined;
  /** It was said on this connection. */
  underWay: boolean;
}

/**
 * A tab's requests. They stand in one line: in order, kept until they are answered, said again on every new connection. Each is the
 * user's who made it: over another one's connection it is never said.
 */
export interface Outgoing {
  /** Resolves with the value of the ok frame. `ephemeral`: now or never, outside of the line. */
  ask(frame: Ask, ephemeral?: boolean): Promise<unknown>;
  /** Asks whose this token is, over whichever connection there is. */
  identify(token: string): Promise<string>;
  answer(frame: OkFrame | ErrorFrame): void;
  /** There is a new connection, of this user. What another one made is rejected. */
  connected(userId: string): void;
  disconnected(): void;
  /** Rejects all there are, and all to come. */
  close(error: PeykError): void;
}

export function createOutgoing(time: Time, credentials: Credentials, send: (frame: RequestFrame) => void): Outgoing {
  let line = randomId();
  /** Whose connection it is, or was the last time, and with which token. */
  let user: string | undefined;
  let token: Credentials["latest"];
  const requests = new Map<number, Request>();
  let attributions = 0;
  let again: unknown;
  let refs = 0;
  let numbers = 0;
  let bytes = 0;
  let isConnected = false;
  let closed: PeykError | undefined;
  let expiry: unknown;

  function moment(): Moment {
    return { elapsed: time.elapsed(), now: time.now() };
  }

  /** How long ago that was: rather too long than too short, for what is too old to be remembered must not pass for young. */
  function since({ elapsed, now }: Moment): number {
    return Math.max(time.elapsed() - elapsed, time.now() - now);
  }

  function pump(): void {
    let weight = 0;
    let lowest: number | undefined;
    for (const request of requests.values()) {
      if (!isConnected || request.user === undefined) return;
      if (request.isLined) {
        const number = request.said?.number ?? numbers + 1;
        lowest ??= number;
        if (number >= lowest + WINDOW || (weight > 0 && weight + request.bytes > WINDOW_BYTES)) return;
        weight += request.bytes;
      }
      if (!request.underWay) say(request);
    }
  }

  function say(request: Request): void {
    const { frame, isLined, ref } = request;
    request.underWay = true;
    const ageMs = request.said ? Math.max(1, Math.round(since(request.said.at))) : 0;
    if (isLined) request.said ??= { at: moment(), number: ++numbers };
    send(
      { ...frame, ref, ...(request.said && { line: { id: line, number: request.said.number, ageMs, user } }) } as RequestFrame,
    );
  }

  function end(request: Request): void {
    requests.delete(request.ref);
    bytes -= request.bytes;
    if (requests.size > 0) return;
    time.clearTimeout(expiry);
    expiry = undefined;
  }

  function rejectAll(error: PeykError): void {
    for (const request of requests.values()) {
      end(request);
      if (request.frame.type === "logout" && error.code === "signed-out") request.resolve(null);
      else request.reject(error);
    }
  }

  function expire(): void {
    time.clearTimeout(expiry);
    expiry = undefined;
    for (const request of requests.values()) {
      if (since(request.made) < KEEP_MS) break;
      end(request);
      request.reject(
        request.said
          ? new PeykError("outcome-unknown", "no answer for too long", { hint: "It may have taken effect." })
          : new PeykError("timeout", "no connection for too long", { retryable: true }),
      );
    }
    watch();
  }

  function watch(): void {
    const [oldest] = requests.values();
    if (oldest) expiry ??= time.setTimeout(expire, KEEP_MS - since(oldest.made));
  }

  function disconnected(): void {
    isConnected = false;
    attributions++;
    time.clearTimeout(again);
    for (const request of requests.values()) {
      request.underWay = false;
      if (request.isLined || request.frame.type === "logout") continue;
      end(request);
      request.reject(unavailable());
    }
  }

  /**
   * Finds out whose the requests are that were made without a connection, with another token than the one that is good now.
   * @param former whose connection the last one was: when it is the same user's again, a token that can't be asked about is no doubt
   */
  async function attribute(former: string | undefined): Promise<void> {
    const mine = ++attributions;
    for (const { token, user: known } of requests.values()) {
      if (known !== undefined) continue;
      let whose: string | undefined;
      try {
        whose = token ? await identify(token) : former;
      } catch (error) {
        if (mine !== attributions) return;
        const { code, retryable } = error as PeykError;
        if (retryable && code !== "expired") return void (again = time.setTimeout(() => attribute(former), ASK_AGAIN_MS));
        whose = former;
      }
      if (mine !== attributions) return;
      for (const request of requests.values()) if (request.user === undefined && request.token === token) settle(request, whose);
    }
    pump();
  }

  function settle(request: Request, whose: string | undefined): void {
    request.user = whose;
    if (whose === user) return;
    end(request);
    if (request.frame.type === "logout") closed = undefined;
    request.reject(new PeykError("unauthorized", "another user is signed in"));
  }

  async function identify(token: string): Promise<string> {
    const { userId } = await add({ type: "identify", token }, false, null) as { userId: string };
    return userId;
  }

  function add(frame: Ask, isLined: boolean, user: Request["user"]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const request: Request = {
        ...{ frame, ref: ++refs, resolve, reject, isLined, bytes: weightOf(frame), made: moment(), said: undefined },
        ...{ underWay: false, user, token: credentials.latest },
      };
      requests.set(refs, request);
      bytes += request.bytes;
      watch();
      if (user === null) say(request);
      else pump();
    });
  }

  return {
    ask(frame, ephemeral = false) {
      if (closed) return Promise.reject(closed);
      if (ephemeral && !isConnected) return Promise.reject(unavailable());
      if (requests.size >= MOST_WAITING || (bytes > 0 && bytes + weightOf(frame) > MOST_BYTES)) {
        const hint = `At most ${MOST_WAITING} requests of ${MOST_BYTES} bytes wait for a connection.`;
        return Promise.reject(new PeykError("too-many", "too many requests wait", { retryable: true, hint }));
      }
      const isLogout = frame.type === "logout";
      // It overtakes: requests that wait must not take effect for a user who has signed out.
      if (isLogout) rejectAll(closed = new PeykError("signed-out", "the device was signed out"));
      return add(frame, !ephemeral && !isLogout, isConnected || credentials.latest === token ? user : undefined);
    },
    identify,
    answer(frame) {
      const request = requests.get(frame.ref!);
      if (!request) return;
      end(request);
      if (frame.type === "ok") request.resolve(frame.value);
      else {
        // The session goes on.
        if (request.frame.type === "logout") closed = undefined;
        request.reject(refusal(frame));
      }
      pump();
    },
    connected(userId) {
      disconnected();
      // The timer may have stood still with the machine.
      expire();
      const former = user;
      // A line is one user's. Nothing of the former one is left to be said.
      if (former !== userId) [line, numbers] = [randomId(), 0];
      [user, token, isConnected] = [userId, credentials.latest, true];
      for (const request of requests.values()) {
        if (request.token === undefined || request.token === token) request.user ??= userId;
        if (request.user) settle(request, request.user);
      }
      void attribute(former);
    },
    disconnected,
    close(error) {
      rejectAll(closed = error);
      disconnected();
    },
  };
}

function weightOf(frame: Ask): number {
  return FRAME_BYTES + ("payload" in frame ? frame.payload.length : 0);
}

function unavailable(): PeykError {
  return new PeykError("unavailable", "not connected", { retryable: true, hint: "An ephemeral message is not kept for later." });
}

function refusal({ code, retryable, retryAfterMs, hint }: ErrorFrame): PeykError {
  return new PeykError(code, `the engine refused: ${code}`, {
    retryable,
    ...(retryAfterMs !== null && { retryAfterMs }),
    ...(hint !== null && { hint }),
  });
}
