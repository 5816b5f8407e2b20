import { CloseCode, closeName, mayReconnect } from "../protocol/codes.ts";
import { decodeServerFrames, encodeClientFrame } from "../protocol/codec.ts";
import { PeykError } from "../protocol/errors.ts";
import {
  type ClientFrame,
  type ErrorFrame,
  type HelloFrame,
  type ServerFrame,
  SUBPROTOCOL,
  VERSION,
  type WelcomeFrame,
} from "../protocol/frames.ts";
import type { Environment, WebSocketLike } from "./environment.ts";
import { attempt } from "./attempt.ts";
import { pageOf } from "./pages.ts";

/**
 * Why there is no connection: the name of the close code that ended it, or without one how far it came.
 *
 * - "token": the function that gives the token failed, or did not answer within 20 s.
 * - "refused": the server answered the upgrade with an HTTP status, which the hint names. Deno and the `ws` package tell; browsers and
 *   Node do not, and say "unreachable".
 * - "unreachable": it never opened. No server is there, or it refused the upgrade.
 * - "lost": it was open, and ended without a word.
 */
export type CloseReason = keyof typeof CloseCode | "token" | "refused" | "unreachable" | "lost";

/** How the client stands. */
export type Status =
  | { readonly state: "connecting" }
  | { readonly state: "connected"; readonly userId: string }
  /** Not connected; the next try is at `retryAt` (milliseconds since 1970), or as soon as the network is back. */
  | { readonly state: "waiting"; readonly retryAt: number; readonly reason: CloseReason; readonly hint?: string }
  /** For good. Without a reason: `close()` was called. */
  | { readonly state: "closed"; readonly reason?: CloseReason; readonly hint?: string };

const BACKOFF_FIRST_MS = 250;
const BACKOFF_MOST_MS = 30_000;
/** The same while nothing says that this address and this token can ever do. */
const UNPROVEN_MOST_MS = 300_000;
/** A connection that lived this long was a good one: the next backoff begins anew. */
const STABLE_MS = 5_000;
/** From the first step of a try to its welcome. */
export const WELCOME_WITHIN_MS = 20_000;
/** On top of two heartbeats. */
const SILENCE_MS = 5_000;
/** Between a probe and the first word after it. */
const ANSWER_WITHIN_MS = 3_000;
/** A socket that was heard so lately is not doubted. */
const FRESH_MS = 1_000;
/** So often it is looked after a socket: a machine that slept is noticed by that. */
const LOOK_EVERY_MS = 5_000;
/** A timer that fires so much too late was not running all the time. */
const LATE_MS = 1_000;
const CLOSE_WITHIN_MS = 1_000;
const UNREACHABLE = "Nobody is there, or the upgrade was refused: the server's log says why.";
/** Before the welcome tells the limit, a page of cursors has so many bytes at most: every engine takes that. */
const PAGE_BYTES = 1_024;
/** The most that a page takes beside its cursors. */
const PAGE_HEAD_BYTES = 6;

/** What a connection needs, and whom it tells. */
export interface ConnectionOptions {
  environment: Environment;
  url: string;
  token: () => string | null | Promise<string | null>;
  /** What to say in hello, asked at each try. */
  hello: () => Omit<HelloFrame, "type" | "version" | "capabilities" | "token" | "more">;
  /** All but "connected". */
  status(status: Status): void;
  /** The answer to hello: it is connected. */
  welcome(frame: WelcomeFrame): void;
  /** The frames of one WebSocket message. */
  frames(frames: ServerFrame[]): void;
}

/** A socket to the engine that comes back until it is told not to. */
export interface Connection {
  /** False: not connected, nothing was sent. A request throws `bad-message` and `too-large`. */
  send(frame: ClientFrame): boolean;
  /** Tries now, if it waits. Else the socket may be dead though it looks open: asks the other side. */
  wake(): void;
  /** Leaves this socket and comes back: at once, or after a backoff when it did that a moment ago already. */
  reconnect(code: CloseCode): void;
  /** The next try is not before that time from now. */
  holdOff(ms: number): void;
  /** For good; `status` is not told. Resolves when the socket is closed. */
  stop(code: CloseCode): Promise<void>;
}

export function createConnection(options: ConnectionOptions): Connection {
  const { time, WebSocket } = options.environment;
  let socket: WebSocketLike | undefined;
  let welcomed: WelcomeFrame | undefined;
  /** When this try began. */
  let beganAt = 0;
  let welcomedAt = 0;
  let heardAt = 0;
  /** Probes since something was heard. */
  let asked = 0;
  let failures = 0;
  let hurriedAt = -Infinity;
  let notBefore = 0;
  let refusal: ErrorFrame | undefined;
  /** How far this try came: what its end means when no code says more. */
  let reached: "token" | "refused" | "unreachable" | "lost";
  let hint: string | undefined;
  /** There was a welcome, and since then no token that was expired already when it was said. */
  let proven = false;
  /** One timer at a time: the next try, the wait for a welcome, or the next look after the socket. */
  let timer: unknown;
  /** When it fires, by the wall clock: that one does not stand still while the machine sleeps. */
  let dueAt = 0;
  let state: Status["state"] = "connecting";
  /** Numbers the tries: what belongs to an earlier one comes too late. */
  let life = 0;

  function report(status: Status): void {
    state = status.state;
    options.status(status);
  }

  function wait(task: () => void, ms: number): void {
    time.clearTimeout(timer);
    timer = time.setTimeout(task, ms);
    dueAt = time.now() + ms;
  }

  async function open(): Promise<void> {
    const mine = ++life;
    beganAt = time.elapsed();
    refusal = hint = undefined;
    reached = "token";
    wait(() => leave(CloseCode.helloTimeout), WELCOME_WITHIN_MS);
    report({ state: "connecting" });
    let token: string | null;
    try {
      token = await options.token();
    } catch (error) {
      if (mine !== life) return;
      if (error instanceof PeykError) hint = error.hint;
      return retry(reached);
    }
    if (mine !== life) return;
    reached = "unreachable";
    try {
      listen(socket = new WebSocket(options.url, [SUBPROTOCOL]), token);
    } catch {
      retry(reached);
    }
  }

  function listen(mine: WebSocketLike, token: string | null): void {
    mine.binaryType = "arraybuffer";
    mine.onopen = () => {
      reached = "lost";
      greet(token);
    };
    mine.onmessage = ({ data }: { data: unknown }) => {
      heardAt = time.elapsed();
      asked = 0;
      let frames: ServerFrame[];
      try {
        frames = decodeServerFrames(new Uint8Array(data as ArrayBuffer));
      } catch (error) {
        hint = (error as PeykError).message;
        return leave(CloseCode.protocol);
      }
      take(frames);
    };
    mine.onclose = ({ code }: { code: number }) => lost(code);
    // `close` follows and has the code. A status is here or nowhere: "... 403" from Deno and ws, an empty message from others.
    mine.onerror = ({ message }: { message?: unknown }) => {
      const status = reached === "unreachable" && / (\d{3})$/.exec(String(message))?.[1];
      if (!status) return;
      reached = "refused";
      hint = `The server answered HTTP ${status}. Its log says why.`;
    };
  }

  /** hello, with as many cursors as fit beside the token; the others on pages of their own. */
  function greet(token: string | null): void {
    const { cursors, ...rest } = options.hello();
    const empty = { capabilities: [], cursors: [], more: true };
    const hello: HelloFrame = { type: "hello", version: VERSION, ...rest, token, ...empty };
    const first = pageOf(cursors, PAGE_BYTES - PAGE_HEAD_BYTES - encodeClientFrame(hello).length, 0);
    write({ ...hello, cursors: first, more: cursors.length > 0 });
    while (cursors.length > 0) {
      write({ type: "cursors", cursors: pageOf(cursors, PAGE_BYTES - PAGE_HEAD_BYTES), more: cursors.length > 0 });
    }
  }

  function take(frames: ServerFrame[]): void {
    for (const frame of frames) {
      if (frame.type === "welcome") {
        welcomed = frame;
        welcomedAt = heardAt;
        proven = true;
        state = "connected";
        look();
        options.welcome(frame);
        if (!welcomed) return; // It was left at once.
      } else if (frame.type === "error" && frame.ref === null) {
        refusal = frame;
      }
    }
    if (welcomed) options.frames(frames);
  }

  /** A socket can be dead and stay open: nothing was heard for too long, or not even when it was asked. */
  function look(isLate = false): void {
    // Frames that arrived while this thread stood still are read only now: it is asked once more.
    if (asked > 1 || (asked > 0 && !isLate)) return reconnect(CloseCode.heartbeat);
    if (isLate) return ask();
    const left = heardAt + 2 * welcomed!.heartbeatMs + SILENCE_MS - time.elapsed();
    if (left <= 0) return leave(CloseCode.heartbeat);
    wait(lookAgain, Math.min(left, LOOK_EVERY_MS));
  }

  function lookAgain(): void {
    look(time.now() - dueAt >= LATE_MS);
  }

  function ask(): void {
    asked++;
    write({ type: "probe" });
    wait(lookAgain, ANSWER_WITHIN_MS);
  }

  /** There is a reason to ask, if nothing was heard just now. */
  function doubt(): void {
    if (welcomed && asked === 0 && time.elapsed() - heardAt >= FRESH_MS) ask();
  }

  function write(frame: ClientFrame): void {
    const bytes = encodeClientFrame(frame);
    // All but requests keep to the limit by themselves.
    if (welcomed && "ref" in frame && bytes.length > welcomed.limits.frameBytes) {
      const hint = `The engine takes ${welcomed.limits.frameBytes} bytes at most.`;
      throw new PeykError("too-large", "a frame beyond the limit", { hint });
    }
    socket!.send(bytes as Uint8Array<ArrayBuffer>);
  }

  /** Drops the socket without waiting for the other side, which may never answer. */
  function drop(code: CloseCode | undefined): WebSocketLike | undefined {
    const left = socket;
    if (welcomed && time.elapsed() - welcomedAt >= STABLE_MS) failures = 0;
    socket = welcomed = undefined;
    life++;
    if (left) {
      left.onopen = left.onmessage = left.onclose = null;
      // A browser's socket may be closed with 1000 and 3000-4999, and throws for all else; so does an odd implementation.
      if (code) attempt(() => left.close(code));
    }
    return left;
  }

  function leave(code: CloseCode): void {
    drop(code);
    retry(code === CloseCode.helloTimeout && reached !== "lost" ? reached : closeName(code) ?? reached);
  }

  function lost(code: number): void {
    if (code === CloseCode.expired && !welcomed) proven = false;
    // Before the welcome only hello can be too large, for its token. The engine can't say so: it never had the frame.
    if (code === CloseCode.tooLarge && !welcomed) hint = "The token is longer than the engine takes.";
    drop(undefined);
    const reason = closeName(code) ?? reached;
    if (mayReconnect(code)) return retry(reason);
    time.clearTimeout(timer);
    report({ state: "closed", ...why(reason) });
  }

  function why(reason: CloseReason): { reason: CloseReason; hint?: string } {
    const known = refusal?.hint ?? hint ?? (reason === "unreachable" ? UNREACHABLE : undefined);
    return known ? { reason, hint: known } : { reason };
  }

  /** Full jitter: anywhere between now and the end of the backoff, so that many clients come back evenly spread. */
  function retry(reason: CloseReason): void {
    const backoff = time.random() * Math.min(proven ? BACKOFF_MOST_MS : UNPROVEN_MOST_MS, BACKOFF_FIRST_MS * 2 ** failures++);
    const ms = Math.max(backoff, refusal?.retryAfterMs ?? 0, notBefore - time.elapsed());
    wait(open, ms);
    report({ state: "waiting", retryAt: time.now() + ms, ...why(reason) });
  }

  function reconnect(code: CloseCode): void {
    if (state === "closed") return;
    if (time.elapsed() - hurriedAt < STABLE_MS) return leave(code);
    hurriedAt = time.elapsed();
    drop(code);
    open();
  }

  open();
  return {
    send(frame) {
      if (!welcomed) return false;
      write(frame);
      if ("ref" in frame) doubt();
      return true;
    },
    wake() {
      // A socket that is being opened may be lost with the network that was there.
      const isSlow = state === "connecting" && reached !== "token" && time.elapsed() - beganAt >= ANSWER_WITHIN_MS;
      if (state !== "waiting" && !isSlow) return doubt();
      drop(CloseCode.normal);
      failures = 0;
      open();
    },
    reconnect,
    holdOff(ms) {
      notBefore = time.elapsed() + ms;
    },
    stop(code) {
      time.clearTimeout(timer);
      state = "closed";
      const left = drop(code);
      return new Promise((resolve) => {
        if (!left) return resolve();
        const late = time.setTimeout(resolve, CLOSE_WITHIN_MS);
        left.onclose = () => {
          time.clearTimeout(late);
          resolve();
        };
      });
    },
  };
}
