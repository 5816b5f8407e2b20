import { PeykError } from "../protocol/errors.ts";
import type { ErrorFrame, OkFrame } from "../protocol/frames.ts";
import type { Time } from "./environment.ts";
import type { RequestFrame } from "./leader.ts";

/** Requests that wait for an answer or a connection, at most. */
const MAX_WAITING = 1000;
/** Of these, how many are under way at a time. */
const WINDOW = 32;
const RETRY_FIRST_MS = 250;
const RETRY_MOST_MS = 30_000;

interface Request {
  readonly frame: RequestFrame;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: PeykError) => void;
  readonly ephemeral: boolean;
  underWay: boolean;
  /** How often the engine put it off. */
  retries: number;
  /** Not again before this timer. */
  timer: unknown;
}

type WithoutRef<Frame> = Frame extends unknown ? Omit<Frame, "ref"> : never;

/** A tab's requests: in order, kept until they are answered, said again on every new connection. */
export interface Outgoing {
  /** Resolves with the value of the ok frame. `ephemeral`: now or never. */
  ask(frame: WithoutRef<RequestFrame>, ephemeral?: boolean): Promise<unknown>;
  answer(frame: OkFrame | ErrorFrame): void;
  /** There is a new connection. */
  connected(): void;
  disconnected(): void;
  /** Rejects all there are, and all to come. */
  close(error: PeykError): void;
}

export function createOutgoing(time: Time, send: (frame: RequestFrame) => void): Outgoing {
  const requests = new Map<number, Request>();
  let ref = 0;
  let isConnected = false;
  let closed: PeykError | undefined;

  function pump(): void {
    let underWay = 0;
    for (const request of requests.values()) {
      if (!isConnected || underWay === WINDOW) return;
      if (request.timer !== undefined) continue;
      underWay++;
      if (request.underWay) continue;
      request.underWay = true;
      send(request.frame);
    }
  }

  function end(request: Request): void {
    requests.delete(request.frame.ref);
    time.clearTimeout(request.timer);
  }

  function disconnected(): void {
    isConnected = false;
    for (const request of requests.values()) {
      request.underWay = false;
      if (!request.ephemeral) continue;
      end(request);
      request.reject(unavailable());
    }
  }

  function unavailable(): PeykError {
    return new PeykError("unavailable", "not connected", {
      retryable: true,
      hint: "An ephemeral message is not kept for later.",
    });
  }

  return {
    ask(frame, ephemeral = false) {
      if (closed) return Promise.reject(closed);
      if (ephemeral && !isConnected) return Promise.reject(unavailable());
      if (requests.size >= MAX_WAITING) {
        const hint = `At most ${MAX_WAITING} requests wait for a connection.`;
        return Promise.reject(new PeykError("too-many", "too many requests wait", { retryable: true, hint }));
      }
      return new Promise((resolve, reject) => {
        const asked = { ...frame, ref: ++ref };
        requests.set(ref, { frame: asked, resolve, reject, ephemeral, underWay: false, retries: 0, timer: undefined });
        pump();
      });
    },
    answer(frame) {
      const request = requests.get(frame.ref!);
      if (!request) return;
      request.underWay = false;
      if (frame.type === "ok") {
        end(request);
        request.resolve(frame.value);
      } else if (frame.retryable && !request.ephemeral) {
        const backoff = time.random() * Math.min(RETRY_MOST_MS, RETRY_FIRST_MS * 2 ** request.retries++);
        request.timer = time.setTimeout(() => {
          request.timer = undefined;
          pump();
        }, (frame.retryAfterMs ?? 0) + backoff);
      } else {
        end(request);
        request.reject(refusal(frame));
      }
      pump();
    },
    connected() {
      disconnected();
      isConnected = true;
      pump();
    },
    disconnected,
    close(error) {
      closed = error;
      for (const request of requests.values()) {
        end(request);
        request.reject(error);
      }
    },
  };
}

function refusal({ code, retryable, retryAfterMs, hint }: ErrorFrame): PeykError {
  return new PeykError(code, `the engine refused: ${code}`, {
    retryable,
    ...(retryAfterMs === null ? {} : { retryAfterMs }),
    ...(hint === null ? {} : { hint }),
  });
}
