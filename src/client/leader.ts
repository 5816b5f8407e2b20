import { CloseCode } from "../protocol/codes.ts";
import { PeykError } from "../protocol/errors.ts";
import type {
  ClientFrame,
  Cursor,
  ErrorFrame,
  GapFrame,
  IdleMs,
  LiveFrame,
  MessageFrame,
  OkFrame,
  ReceiptFrame,
  Recovery,
  ServerFrame,
  SubscribedFrame,
  UnsubscribedFrame,
  WelcomeFrame,
} from "../protocol/frames.ts";
import { createConnection, type Status } from "./connection.ts";
import type { DeviceStore } from "./device_store.ts";
import { type Environment, randomId } from "./environment.ts";
import type { Topic } from "../protocol/names.ts";
import { createProgress } from "./progress.ts";

/** A frame that the engine answers with an ok or error of the same ref. */
export type RequestFrame = Extract<ClientFrame, { ref: number }>;

/** Whether the person can see the app, and did something lately. */
export interface Presence {
  readonly visible: boolean;
  readonly attended: boolean;
}

/** What a tab says to the one that holds the connection. */
export type ToLeader =
  /** A tab begins, or found a new leader. */
  | { type: "join"; presence: Presence }
  | { type: "presence"; presence: Presence }
  /** A handler was added: say again what nobody is done with. */
  | { type: "pending" }
  | { type: "request"; frame: RequestFrame }
  /** The tab's handlers are done with an entry, or gave up for that reason. */
  | { type: "done"; cursor: Cursor; failed: string | undefined }
  /** The network is back, or the person: try now. */
  | { type: "wake" };

/** What the one that holds the connection says to tabs. */
export type ToTab =
  /** `life` names the connection: with a new one, unanswered requests are to be sent again. */
  | { type: "status"; status: Status; life: string }
  | MessageFrame
  | LiveFrame
  | GapFrame
  | ReceiptFrame
  | SubscribedFrame
  | UnsubscribedFrame
  | OkFrame
  | ErrorFrame;

/** Holds the connection for all tabs of this installation. */
export interface Leader {
  receive(tab: string, message: ToLeader): void;
  /** The tab is gone. */
  leave(tab: string): void;
  /** Ends the connection; with other tabs there, one of them takes it over. */
  stop(): Promise<void>;
}

export interface LeaderOptions {
  environment: Environment;
  url: string;
  store: DeviceStore;
  token: (() => string | Promise<string>) | string | undefined;
  /** To one tab, or to all. */
  emit(tab: string | undefined, message: ToTab): void;
}

export function createLeader({ environment, url, store, token, emit }: LeaderOptions): Leader {
  const { time } = environment;
  const tabs = new Map<string, Presence>();
  const requests = new Map<number, { tab: string; frame: RequestFrame }>();
  let ref = 0;
  let status: Status = { state: "connecting" };
  let life = "";
  let presence: Presence = { visible: true, attended: false };
  let drainTimer: unknown;
  /** The moment to leave a draining node has come: as soon as nothing is under way. */
  let leaving = false;

  store.load();
  const progress = createProgress({
    time,
    store,
    send: (frame) => connection.send(frame),
    deliver: (frame) => emit(undefined, frame),
    gap: (frame) => emit(undefined, frame),
    resync: () => connection.reconnect(CloseCode.slow, "after a backoff"),
  });
  const connection = createConnection({
    environment,
    url,
    token: async () => (typeof token === "function" ? await token() : token) ?? null,
    hello: () => ({ deviceId: store.deviceId, ...told(), cursors: store.cursors() }),
    status: report,
    welcome,
    frames: take,
  });

  function report(next: Status): void {
    status = next;
    if (status.state !== "connected") {
      requests.clear();
      progress.disconnected();
      time.clearTimeout(drainTimer);
      leaving = false;
    }
    emit(undefined, { type: "status", status, life });
  }

  function welcome(frame: WelcomeFrame): void {
    // The cursors in hello were another user's: say hello again, without them.
    if (store.claim(frame.userId)) return connection.reconnect(CloseCode.slow, "at once");
    life = randomId();
    progress.welcome(frame);
  }

  function take(frames: ServerFrame[]): void {
    for (const frame of frames) {
      switch (frame.type) {
        case "message":
        case "live":
        case "advance":
        case "gap":
          progress.take(frame);
          break;
        case "subscribed":
          place(frame);
          break;
        case "unsubscribed":
          forget(frame.topic);
          break;
        case "receipt":
          emit(undefined, frame);
          break;
        case "ok":
        case "error":
          answer(frame);
          break;
        case "ping":
          progress.ack();
          break;
        case "drain":
          drain(frame.windowMs);
          break;
        case "expiring":
          refreshToken();
          break;
      }
    }
    progress.settled();
  }

  function place(start: Recovery): void {
    progress.place(start);
    emit(undefined, { ...start, type: "subscribed" });
    if (!start.recovered) emit(undefined, { ...start, type: "gap" });
  }

  function forget(topic: Topic): void {
    progress.forget(topic);
    emit(undefined, { type: "unsubscribed", topic });
  }

  function request(tab: string, frame: RequestFrame): void {
    // While there is no connection the tab keeps it, and says it again on the next one.
    if (status.state !== "connected" || leaving) return;
    requests.set(++ref, { tab, frame });
    try {
      connection.send({ ...frame, ref });
    } catch (error) {
      requests.delete(ref);
      const { code, hint } = error instanceof PeykError ? error : new PeykError("internal", "");
      emit(tab, { type: "error", ref: frame.ref, code, retryable: false, retryAfterMs: null, hint: hint ?? null });
    }
  }

  function answer(frame: OkFrame | ErrorFrame): void {
    const asked = requests.get(frame.ref!);
    if (!asked) return;
    requests.delete(frame.ref!);
    if (frame.type === "ok") {
      // Of a topic that is read already the answer names an old place: the reading is further, and goes on.
      if (asked.frame.type === "subscribe" && (asked.frame.anew || !progress.reads(asked.frame.topic))) {
        place({ topic: asked.frame.topic, ...(frame.value as Omit<Recovery, "topic">) });
      }
      if (asked.frame.type === "unsubscribe") forget(asked.frame.topic);
    }
    emit(asked.tab, { ...frame, ref: asked.frame.ref });
    if (frame.type === "ok" && asked.frame.type === "logout") signOut();
    else leaveWhenDone();
  }

  /** For all tabs, and the next user on this device begins with no cursors. */
  function signOut(): void {
    for (const { topic } of store.cursors()) forget(topic);
    store.flush();
    void connection.stop(CloseCode.normal);
    report({ state: "closed", reason: "signedOut" });
  }

  function drain(windowMs: number): void {
    const ms = time.random() * windowMs;
    connection.holdOff(ms);
    drainTimer = time.setTimeout(() => {
      leaving = true;
      leaveWhenDone();
    }, ms);
  }

  function leaveWhenDone(): void {
    if (!leaving || requests.size > 0) return;
    progress.ack();
    connection.reconnect(CloseCode.drain, "at once");
  }

  async function refreshToken(): Promise<void> {
    if (typeof token !== "function") return;
    try {
      connection.send({ type: "token", token: await token(), ref: ++ref });
    } catch {
      // The engine closes when the old token ends, and the next try asks again.
    }
  }

  function present(): void {
    const all = [...tabs.values()];
    const visible = all.some((tab) => tab.visible);
    const attended = all.some((tab) => tab.attended);
    if (visible === presence.visible && attended === presence.attended) return;
    presence = { visible, attended };
    connection.send({ type: "state", ...told() });
  }

  function told(): { visible: boolean; idleMs: IdleMs } {
    return { visible: presence.visible, idleMs: presence.attended ? 0 : null };
  }

  return {
    receive(tab, message) {
      switch (message.type) {
        case "join":
          emit(tab, { type: "status", status, life });
          tabs.set(tab, message.presence);
          return present();
        case "presence":
          tabs.set(tab, message.presence);
          return present();
        case "pending":
          for (const frame of progress.pending()) emit(tab, frame);
          return;
        case "request":
          return request(tab, message.frame);
        case "done":
          return progress.done(message.cursor, message.failed);
        case "wake":
          return connection.wake();
      }
    },
    leave(tab) {
      tabs.delete(tab);
      if (tabs.size > 0) present();
    },
    stop() {
      progress.ack();
      progress.disconnected();
      time.clearTimeout(drainTimer);
      store.flush();
      return connection.stop(tabs.size > 1 ? CloseCode.drain : CloseCode.normal);
    },
  };
}
