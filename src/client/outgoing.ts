import { PeykError } from "../protocol/errors.ts";
import type { ErrorFrame, InLine, OkFrame } from "../protocol/frames.ts";
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
  readonly bytes: number;
  readonly made: Moment;
  /** When it was said first, under which number. */
  said: { readonly at: Moment; readonly number: number } | undefined;
  /** It was said on this connection. */
  underWay: boolean;
}

/** A tab's requests. They stand in one line: in order, kept until they are answered, said again on every new connection. */
export interface Outgoing {
  /** Resolves with the value of the ok frame. `ephemeral`: now or never, outside of the line. */
  ask(frame: Ask, ephemeral?: boolean): Promise<unknown>;
  answer(frame: OkFrame | ErrorFrame): void;
  /** There is a new connection, of that user: what another one made is rejected. What was made before the first is of the first. */
  connected(userId: string): void;
  disconnected(): void;
  /** Rejects all there are, and all to come. */
  close(error: PeykError): void;
}

export function createOutgoing(time: Time, send: (frame: RequestFrame) => void): Outgoing {
  let line = randomId();
  let user: string | undefined;
  const requests = new Map<number, Request>();
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
      if (!isConnected) return;
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
    const place: InLine | undefined = isLined ? { id: line, number: request.said!.number, ageMs, user: user! } : undefined;
    send({ ...frame, ref, ...(place && { line: place }) } as RequestFrame);
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
      request.reject(error);
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
    for (const request of requests.values()) {
      request.underWay = false;
      if (request.isLined || request.frame.type === "logout") continue;
      end(request);
      request.reject(unavailable());
    }
  }

  return {
    ask(frame, ephemeral = false) {
      const weight = FRAME_BYTES + ("payload" in frame ? frame.payload.length : 0);
      if (closed) return Promise.reject(closed);
      if (ephemeral && !isConnected) return Promise.reject(unavailable());
      if (requests.size >= MOST_WAITING || (bytes > 0 && bytes + weight > MOST_BYTES)) {
        const hint = `At most ${MOST_WAITING} requests of ${MOST_BYTES} bytes wait for a connection.`;
        return Promise.reject(new PeykError("too-many", "too many requests wait", { retryable: true, hint }));
      }
      return new Promise((resolve, reject) => {
        const isLogout = frame.type === "logout";
        // It overtakes: requests that wait must not take effect for a user who has signed out.
        if (isLogout) rejectAll(closed = signedOut());
        const isLined = !ephemeral && !isLogout;
        const ref = ++refs;
        requests.set(ref, {
          ...{ frame, ref, resolve, reject, isLined, bytes: weight, made: moment(), said: undefined, underWay: false },
        });
        bytes += weight;
        watch();
        pump();
      });
    },
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
      if (user !== undefined && user !== userId) {
        rejectAll(new PeykError("unauthorized", "another user is signed in now"));
        line = randomId();
        numbers = 0;
      }
      user = userId;
      // The timer may have stood still with the machine.
      expire();
      isConnected = true;
      pump();
    },
    disconnected,
    close(error) {
      rejectAll(closed = error);
    },
  };
}

function unavailable(): PeykError {
  return new PeykError("unavailable", "not connected", { retryable: true, hint: "An ephemeral message is not kept for later." });
}

function signedOut(): PeykError {
  return new PeykError("signed-out", "the device was signed out");
}

function refusal({ code, retryable, retryAfterMs, hint }: ErrorFrame): PeykError {
  return new PeykError(code, `the engine refused: ${code}`, {
    retryable,
    ...(retryAfterMs === null ? {} : { retryAfterMs }),
    ...(hint === null ? {} : { hint }),
  });
}
