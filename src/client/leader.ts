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
import { type CloseReason, type Connection, createConnection, type Status } from "./connection.ts";
import type { Credentials } from "./credentials.ts";
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
  /** Is there a leader? And can this tab's own token do, should the leader's not? */
  | { type: "ask"; failed: boolean }
  /** A tab of the leader's user begins, or found a new leader. */
  | { type: "join"; activity: PersonState }
  | { type: "activity"; activity: PersonState }
  /** A handler was added: say again what nobody is done with. */
  | { type: "pending" }
  /** For the connection of that name. */
  | { type: "request"; life: string; frame: RequestFrame }
  /** The tab's handlers are done with an entry, or gave up for that reason. */
  | { type: "done"; cursor: Cursor; failed: string | undefined }
  /** The network is back, or the person: try now, or ask whether the connection lives. */
  | { type: "wake" };

/** How the leader stands. It says so whenever it is asked, too: by that others know that it lives. */
export interface StatusNote {
  readonly type: "status";
  readonly status: Status;
  /** Names the connection, "" while there is none: with a new one, unanswered requests are to be sent again. */
  readonly life: string;
  /** All that the user is subscribed to, in order. */
  readonly topics: readonly Topic[];
}

/** What the one that holds the connection says to tabs. */
export type ToTab =
  | StatusNote
  | MessageFrame
  | EphemeralFrame
  | GapFrame
  | ReceiptFrame
  | SubscribedFrame
  | UnsubscribedFrame
  | OkFrame
  | ErrorFrame;

/** Holds the connection for all tabs that share the device. */
export interface Leader {
  /** Counts the leaders of this device. */
  readonly term: number;
  receive(tab: string, message: ToLeader): void;
  /** The tab is gone. */
  leave(tab: string): void;
  /**
   * Ends the connection; with other tabs there, one of them takes it over.
   * @param code what the last tab says; `normal` by default
   */
  stop(code?: CloseCode): Promise<void>;
}

/** Who made this tab the leader. */
export interface LeaderHost {
  /** The highest term that was heard of. */
  readonly heard: number;
  /** Whether other tabs can take the connection over. */
  readonly shared: boolean;
  /** To one tab, or to all. */
  emit(tab: string | undefined, message: ToTab): void;
  /** Whether another tab leads by now. */
  deposed(): Promise<boolean>;
  /** Another tab's turn. */
  stepDown(): void;
}

export interface LeaderOptions {
  environment: Environment;
  url: string;
  store: DeviceStore;
  credentials: Credentials;
  /** The only user whose connection it may be. Undefined: any user's. */
  user: string | undefined;
  host: LeaderHost;
  /** The token is refused: it ends for this tab, and for no other one. */
  end(status: Status): void;
}

/** So long other tabs have to say that their token may do. */
const OTHERS_WITHIN_MS = 1_000;

/** Whether a tab's own token is the reason. */
export function isRefused(status: Status): status is Status & { reason: CloseReason } {
  return "reason" in status && (status.reason === "unauthorized" || status.reason === "token" || status.reason === "tooLarge");
}

export function createLeader({ environment, url, store, credentials, user, host, end }: LeaderOptions): Leader {
  const { emit } = host;
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
  let subscribed = new Set<Topic>();
  let life = "";
  let drainTimer: unknown;
  /** The moment to leave a draining node has come: as soon as nothing is under way. */
  let leaving = false;
  /** Devices that this connection's hello signs out; and those of which that was wanted before this tab led. */
  let signedOut: string[] = [];
  let signedOutBefore = store.signedOut();
  let endTimer: unknown;
  /** Tabs have asked for a leader that have not joined: they may be another user's. */
  let isAsked = false;

  const term = store.begin(host.heard);
  const progress = createProgress({
    time,
    store,
    send: (frame) => connection.send(frame),
    idleMs: () => tell().idleMs,
    deliver: (frame) => emit(undefined, frame),
    gap: (frame) => emit(undefined, frame),
    resync: () => connection.reconnect(CloseCode.drain),
  });
  let connection = connect();

  function connect(): Connection {
    return createConnection({
      environment,
      url,
      token: credentials.ask,
      hello() {
        signedOut = store.signedOut();
        const { deviceId, temporary } = store;
        return { deviceId, temporary, signedOut, ...tell(), cursors: store.cursors() };
      },
      status: (next) => next.state === "closed" && next.reason === "replaced" ? void replaced(next) : report(next),
      welcome,
      frames: take,
    });
  }

  /** Another connection has the session. */
  async function replaced(next: Status): Promise<void> {
    if ((!host.shared && environment.page) || store.isLost()) {
      // Tabs that can't agree on who leads: the newest one has the device, this one gets one of its own.
      store.separate();
      connection = connect();
    } else if (!await host.deposed()) report(next);
  }

  function report(next: Status): void {
    time.clearTimeout(endTimer);
    const isOver = isRefused(next) && next.state === "closed";
    status = isOver ? { ...next, state: "waiting", retryAt: time.now() + OTHERS_WITHIN_MS } : next;
    if (isRefused(next)) credentials.fail();
    if (status.state !== "connected") {
      requests.clear();
      progress.disconnected();
      time.clearTimeout(drainTimer);
      leaving = false;
      life = "";
    }
    // Before this tab ends, another one's token is tried.
    if (isOver && tabs.size < 2 && !isAsked) return end(next);
    if (isOver) endTimer = time.setTimeout(() => end(next), OTHERS_WITHIN_MS);
    tellStatus();
  }

  /** To one tab, or to all. */
  function tellStatus(tab?: string): void {
    emit(tab, { type: "status", status, life, topics: [...subscribed].sort() });
  }

  function welcome(frame: WelcomeFrame): void {
    const { userId } = frame;
    const isSignedOut = signedOut.includes(store.deviceId) && !signedOutBefore.includes(store.deviceId);
    store.told(signedOut);
    signedOutBefore = [];
    const isOther = user !== undefined && user !== userId;
    // The cursors in hello were another user's: say hello again, without them.
    if (!isOther && store.claim(userId)) return connection.reconnect(CloseCode.slow);
    life = randomId();
    subscribed = new Set(frame.recovery.map(({ topic }) => topic));
    report({ state: "connected", userId });
    // The tabs go elsewhere, or a listener has closed the client.
    if (isOther || !life) return;
    progress.welcome(frame);
    inputMs = frame.inputMs;
    present();
    // A tab wanted it while there was no connection, and may be gone.
    const isSaid = [...requests.values()].some(({ asked }) => asked.type === "logout");
    if (isSignedOut && !isSaid) request("", life, { type: "logout", ref: 0 });
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

  function place(start: Recovery): void {
    progress.place(start);
    subscribed.add(start.topic);
    tellStatus();
    emit(undefined, { ...start, type: "subscribed" });
    if (!start.recovered) emit(undefined, { ...start, type: "gap" });
  }

  function unsubscribed(topic: Topic): void {
    forget(topic);
    if (subscribed.delete(topic)) tellStatus();
  }

  function forget(topic: Topic): void {
    progress.forget(topic);
    emit(undefined, { type: "unsubscribed", topic });
  }

  function request(tab: string, wanted: string, asked: RequestFrame): void {
    // While there is no connection the tab keeps it, and says it again on the next one.
    if (!life || wanted !== life || leaving) return;
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
    if (asked.type === "logout") {
      store.told([store.deviceId]);
      if (frame.type === "ok") return signOut();
    }
    // Not the user's of this connection any more: it ends, and begins anew with that token.
    if (asked.type === "token" && frame.type === "error" && frame.code === "unauthorized") connection.reconnect(CloseCode.drain);
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
    try {
      const token = await credentials.ask();
      if (token !== null) request("", life, { type: "token", ref: 0, token });
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
    term,
    receive(tab, message) {
      switch (message.type) {
        case "ask":
          isAsked ||= !tabs.has(tab);
          return isRefused(status) && !message.failed ? host.stepDown() : tellStatus();
        case "join":
        case "activity": {
          if (message.type === "activity" && !tabs.has(tab)) return;
          if (message.type === "join") tellStatus(tab);
          const { visible, idleMs } = message.activity;
          tabs.set(tab, { visible, inputAt: time.elapsed() - (idleMs ?? Infinity) });
          return present();
        }
        case "pending":
          for (const frame of progress.pending()) emit(tab, frame);
          return;
        case "request":
          return request(tab, message.life, message.frame);
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
    stop(code = CloseCode.normal) {
      time.clearTimeout(endTimer);
      progress.flush();
      // The connection ends here. Another tab's may follow at once, or, where that one sleeps, much later.
      report({ state: "connecting" });
      store.flush();
      return connection.stop(tabs.size > 1 ? CloseCode.drain : code);
    },
  };
}
