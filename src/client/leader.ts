import { CloseCode } from "../protocol/codes.ts";
import { PeykError } from "../protocol/errors.ts";
import type {
  ClientFrame,
  Cursor,
  EphemeralFrame,
  ErrorFrame,
  GapFrame,
  MessageFrame,
  OkFrame,
  ReceiptFrame,
  Recovery,
  ServerFrame,
  StateFrame,
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

/** Whether the person can see the app, and how long ago the last input was. */
export type PersonState = Omit<StateFrame, "type">;

/** What a tab says to the one that holds the connection. */
export type ToLeader =
  /** A tab begins, or found a new leader. */
  | { type: "join"; activity: PersonState }
  | { type: "activity"; activity: PersonState }
  /** A handler was added: say again what nobody is done with. */
  | { type: "pending" }
  | { type: "request"; frame: RequestFrame }
  /** The tab's handlers are done with an entry, or gave up for that reason. */
  | { type: "done"; cursor: Cursor; failed: string | undefined }
  /** The network is back, or the person: try now, or ask whether the connection lives. */
  | { type: "wake" };

/** What the one that holds the connection says to tabs. */
export type ToTab =
  /** `life` names the connection, "" while there is none: with a new one, unanswered requests are to be sent again. */
  | { type: "status"; status: Status; life: string }
  /** All that the user is subscribed to, in order. */
  | { type: "subscriptions"; topics: readonly Topic[] }
  | MessageFrame
  | EphemeralFrame
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
  /** `inputAt` by the clock of this tab; -Infinity: no input. */
  const tabs = new Map<string, { visible: boolean; inputAt: number }>();
  /** The last input in tabs that are gone. */
  let leftAt = -Infinity;
  /** What this connection was told last. */
  let told = look();
  let inputMs = 0;
  const requests = new Map<number, { tab: string; asked: RequestFrame }>();
  let ref = 0;
  let status: Status = { state: "connecting" };
  /** Undefined: no engine has said so far. */
  let subscribed: Set<Topic> | undefined;
  let life = "";
  let drainTimer: unknown;
  /** The moment to leave a draining node has come: as soon as nothing is under way. */
  let leaving = false;

  store.load();
  const progress = createProgress({
    time,
    store,
    send: (frame) => connection.send(frame),
    idleMs: () => tell().idleMs,
    deliver: (frame) => emit(undefined, frame),
    gap: (frame) => emit(undefined, frame),
    resync: () => connection.reconnect(CloseCode.drain),
  });
  const connection = createConnection({
    environment,
    url,
    token: async () => (typeof token === "function" ? await token() : token) ?? null,
    hello: () => ({ deviceId: store.deviceId, ...tell(), cursors: store.cursors() }),
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
      life = "";
    }
    emit(undefined, { type: "status", status, life });
  }

  function welcome(frame: WelcomeFrame): void {
    // The cursors in hello were another user's: say hello again, without them.
    if (store.claim(frame.userId)) return connection.reconnect(CloseCode.slow);
    life = randomId();
    progress.welcome(frame);
    subscribed = new Set(frame.recovery.map(({ topic }) => topic));
    list();
    inputMs = frame.inputMs;
    present();
  }

  function take(frames: ServerFrame[]): void {
    for (const frame of frames) {
      switch (frame.type) {
        case "message":
        case "ephemeral":
        case "advance":
        case "gap":
          progress.take(frame);
          break;
        case "subscribed":
          place(frame);
          break;
        case "unsubscribed":
          unsubscribed(frame.topic);
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

  /** Says what the user is subscribed to, to one tab or to all. */
  function list(tab?: string): void {
    if (subscribed) emit(tab, { type: "subscriptions", topics: [...subscribed].sort() });
  }

  function place(start: Recovery): void {
    progress.place(start);
    subscribed?.add(start.topic);
    list();
    emit(undefined, { ...start, type: "subscribed" });
    if (!start.recovered) emit(undefined, { ...start, type: "gap" });
  }

  function unsubscribed(topic: Topic): void {
    forget(topic);
    if (subscribed?.delete(topic)) list();
  }

  function forget(topic: Topic): void {
    progress.forget(topic);
    emit(undefined, { type: "unsubscribed", topic });
  }

  function request(tab: string, asked: RequestFrame): void {
    // While there is no connection the tab keeps it, and says it again on the next one.
    if (!life || leaving) return;
    requests.set(++ref, { tab, asked });
    try {
      connection.send({ ...asked, ref });
    } catch (error) {
      requests.delete(ref);
      const { code, hint } = error instanceof PeykError ? error : new PeykError("internal", "");
      emit(tab, { type: "error", ref: asked.ref, code, retryable: false, retryAfterMs: null, hint: hint ?? null });
    }
  }

  function answer(frame: OkFrame | ErrorFrame): void {
    const request = requests.get(frame.ref!);
    if (!request) return;
    const { tab, asked } = request;
    requests.delete(frame.ref!);
    // What took effect on an earlier connection, and may have been changed since, the welcome has told.
    const { again } = (frame.type === "ok" && frame.value || {}) as { again?: boolean };
    if (frame.type === "ok" && !again) {
      // Of a topic that is read already the answer names an old place: the reading is further, and goes on.
      if (asked.type === "subscribe" && (asked.anew || !progress.reads(asked.topic))) {
        place({ topic: asked.topic, ...(frame.value as Omit<Recovery, "topic">) });
      }
      if (asked.type === "unsubscribe") unsubscribed(asked.topic);
    }
    emit(tab, { ...frame, ref: asked.ref });
    if (frame.type === "ok" && asked.type === "logout") signOut();
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
    connection.reconnect(CloseCode.drain);
  }

  async function refreshToken(): Promise<void> {
    if (typeof token !== "function") return;
    try {
      connection.send({ type: "token", token: await token(), ref: ++ref });
    } catch {
      // The engine closes when the old token ends, and the next try asks again.
    }
  }

  function look(): { visible: boolean; inputAt: number } {
    const all = [...tabs.values()];
    return { visible: all.some(({ visible }) => visible), inputAt: Math.max(leftAt, ...all.map(({ inputAt }) => inputAt)) };
  }

  /** Tells how the person is, if that is news. */
  function present(): void {
    if (!life) return;
    const { visible, inputAt } = look();
    const later = inputAt - told.inputAt;
    // What was read in front is acked in front.
    if (visible !== told.visible) progress.flush();
    else if (later !== -Infinity && !(later > 0 && time.elapsed() - told.inputAt >= inputMs)) return;
    connection.send({ type: "state", ...tell() });
  }

  /** How the person is, for a frame that tells it now. */
  function tell(): PersonState {
    told = look();
    const idleMs = Math.round(time.elapsed() - told.inputAt);
    return { visible: told.visible, idleMs: idleMs < Infinity ? idleMs : null };
  }

  return {
    receive(tab, message) {
      switch (message.type) {
        case "join":
        case "activity": {
          if (message.type === "join") {
            list(tab);
            emit(tab, { type: "status", status, life });
          }
          const { visible, idleMs } = message.activity;
          tabs.set(tab, { visible, inputAt: time.elapsed() - (idleMs ?? Infinity) });
          return present();
        }
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
      leftAt = Math.max(leftAt, tabs.get(tab)?.inputAt ?? leftAt);
      tabs.delete(tab);
      present();
    },
    stop() {
      progress.flush();
      // The connection ends here. Another tab's may follow at once, or, where that one sleeps, much later.
      report({ state: "connecting" });
      store.flush();
      return connection.stop(tabs.size > 1 ? CloseCode.drain : CloseCode.normal);
    },
  };
}
