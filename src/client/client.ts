import type { AsyncDisposableLike } from "../protocol/async_disposable.ts";
import { encodePayload } from "../protocol/codec.ts";
import { PeykError } from "../protocol/errors.ts";
import type { Durability, Message, MessageRef, OutgoingMessage, Position } from "../protocol/message.ts";
import { checkName, type Topic, topicOf } from "../protocol/names.ts";
import { checkOptions } from "../protocol/options.ts";
import type { TargetDetails } from "../protocol/target.ts";
import type { CloseReason, Status } from "./connection.ts";
import { createCredentials } from "./credentials.ts";
import {
  type ClientStorage,
  currentEnvironment,
  type Environment,
  randomId,
  socketUrl,
  type WebSocketConstructor,
} from "./environment.ts";
import { createInbox } from "./inbox.ts";
import type { StatusNote, ToTab } from "./leader.ts";
import { join, type ListenOptions } from "./listeners.ts";
import { readMessages } from "./message_loop.ts";
import { createOutgoing } from "./outgoing.ts";
import { type Activity, watchActivity } from "./activity.ts";
import { createSharing } from "./sharing.ts";

export { PeykError } from "../protocol/errors.ts";
export type { ErrorCode } from "../protocol/errors.ts";
export type {
  Durability,
  InterruptionLevel,
  Message,
  MessageOptions,
  MessageRef,
  Notification,
  OutgoingMessage,
  Position,
  Urgency,
} from "../protocol/message.ts";
export type { TargetDetails } from "../protocol/target.ts";
export type { CloseReason, Status } from "./connection.ts";
export type { ClientStorage, WebSocketConstructor, WebSocketLike } from "./environment.ts";
export type { ListenOptions } from "./listeners.ts";
export type { Activity } from "./activity.ts";

/** How to connect. */
export interface ConnectOptions {
  /** What `authenticate` gets. A function is asked at each connect, and when the token is about to run out. */
  token?: string | (() => string | Promise<string>);
  /**
   * Names who is signed in here, in the app's words. Tabs with the same account (and url) share a connection and a device. Without it,
   * they do when the engine says that their tokens are of the same user; tabs without a token, in apps that go by a cookie, don't.
   */
  account?: string;
  /**
   * Names this installation: random, at least 128 bits, a secret. With `account` the device is named by both. Default: made, and kept
   * in `storage`.
   */
  deviceId?: string;
  /** Keeps the deviceId and how far this device has read. Default: `localStorage` in a page, else nothing is kept. */
  storage?: ClientStorage;
  /** Default: the global one. */
  WebSocket?: WebSocketConstructor;
}

/** What the engine said to a publish. */
export interface PublishResult {
  readonly id: string;
  readonly topic: Topic;
  /** Undefined for an `ephemeral` message: it is in no log. */
  readonly position: Position | undefined;
  /** Whether it survives a crash of the engine's process: `durability` is not `memory`. */
  readonly durable: boolean;
  /** How safely it is stored. */
  readonly durability: Durability;
  /** It was published before, under the same id. */
  readonly duplicate: boolean;
}

/** What became of a private message that this user published. */
export interface DeliveryReceipt {
  readonly kind: "delivered" | "read" | "dismissed";
  readonly id: string;
  readonly topic: Topic;
  readonly position: Position;
  /** Milliseconds since 1970, the server's clock. */
  readonly at: number;
}

/** Messages up to this position were lost to this device: the log was replaced, or they were evicted unread. */
export interface Gap {
  readonly topic: Topic;
  readonly position: Position;
}

/** A message's topic. */
export interface TopicName {
  /** A userId, or `*` for a public channel. */
  to: string;
  /** Default "default". */
  channel?: string;
}

/** A topic that the user is subscribed to. */
export interface Subscription {
  readonly topic: Topic;
  /** The user, or `*` for a public channel. */
  readonly to: string;
  readonly channel: string;
}

/** A handler of messages. What it returns is waited for; then the message is acked. */
export type MessageHandler<Data = unknown> = (message: Message<Data>) => void | PromiseLike<void>;

/**
 * A device's line to the engine. It connects by itself, comes back by itself, and brings every message once.
 *
 * Tabs of one user share one connection where the browser can (Web Locks, BroadcastChannel): each tab's handlers get each message,
 * and the device has acked it when the first tab's are done. Where it can't, each tab is a device of its own.
 */
export interface PeykClient extends AsyncDisposableLike {
  /**
   * Runs `handler` for each message, of all channels or of one: in the order of its topic and one at a time, topics
   * independently. A message is acked when its handlers have returned or resolved. One that throws, or takes longer than 30 s,
   * is tried 3 times; then the message is passed and reported as failed, here to `onError`; without a listener there, as an
   * unhandled error. Messages wait for the first handler. `ephemeral` messages do not wait, for a handler or for each other, and
   * are not tried again.
   */
  onMessage<Data = unknown>(handler: MessageHandler<Data>, options?: ListenOptions): () => void;
  onMessage<Data = unknown>(channel: string, handler: MessageHandler<Data>, options?: ListenOptions): () => void;
  /**
   * The messages of all channels. One is acked when the next is asked for, however long that takes; leaving the loop leaves
   * the last one unacked, and it comes again for the next handler. Ends when the signal aborts or the client is closed.
   */
  messages<Data = unknown>(options?: ListenOptions): AsyncIterableIterator<Message<Data>>;
  /** Tells the status now, and whenever it changes. "connected" is told while there is a connection, in every tab. */
  onStatus(listener: (status: Status) => void, options?: ListenOptions): () => void;
  onReceipt(listener: (receipt: DeliveryReceipt) => void, options?: ListenOptions): () => void;
  onGap(listener: (gap: Gap) => void, options?: ListenOptions): () => void;
  /**
   * A message was given up: its handler threw (`internal`, with the cause) or hung (`timeout`), or it can't be read (`bad-message`).
   * Without a listener the first two are unhandled errors: `onerror` of the page gets them, a process ends.
   */
  onError(listener: (error: PeykError, message: Message | undefined) => void, options?: ListenOptions): () => void;
  /**
   * Resolves when the engine has accepted the message. Requests of this client take effect in the order in which they were made, each
   * once: they are kept and said again until they are answered, also while offline, up to 1,000 of them, 1 MiB and 12 hours. An
   * `ephemeral` message is for now: it is not kept, and stands in no order.
   * @throws {PeykError} as a rejection: what the engine refused (with `retryable` true also what could not be done for a minute);
   * `unauthorized` when another user is signed in before it was said; `too-many`, `closed`, `signed-out`; `timeout` when there was no
   * connection for 12 hours; `unavailable` for an ephemeral message; `outcome-unknown` when the engine has forgotten whether it was
   * accepted: published again under its id it is there once
   */
  publish(message: OutgoingMessage): Promise<PublishResult>;
  /**
   * Subscribes the user, all devices. Messages come from now on, or from after `since`; offset 0 is the log's beginning. Of a
   * topic that the user is subscribed to it changes nothing. With `anew` all devices begin there, whatever they have read; what
   * they pass over is told as a gap.
   * @returns where it begins
   */
  subscribe(topic: TopicName & { since?: Position; anew?: boolean }): Promise<Position>;
  unsubscribe(topic: TopicName): Promise<void>;
  /**
   * What the user is subscribed to, as the engine said last: by topic, the own `default` included; empty before the first
   * connection. The same array until that changes.
   */
  subscriptions(): readonly Subscription[];
  /**
   * Tells what the user is subscribed to, now and whenever it changes: by this device, by another one, by the server, or while
   * there was no connection.
   */
  onSubscriptions(listener: (subscriptions: readonly Subscription[]) => void, options?: ListenOptions): () => void;
  /** @throws {PeykError} as a rejection: `bad-message` when it names no message, `not-subscribed` */
  markRead(message: MessageRef): Promise<void>;
  markDismissed(message: MessageRef): Promise<void>;
  /**
   * Registers where this device can be pushed to when it is not here, in place of what was registered with that provider. Do it
   * at each start: tokens change.
   * @throws {PeykError} as a rejection: `no-provider`, `no-app`, `bad-message` for a token or field that can't be
   */
  registerPush(target: { provider: string; token: string } & TargetDetails): Promise<void>;
  unregisterPush(provider: string): Promise<void>;
  /**
   * Says whether the app is in front and touched, instead of what is observed (outside a page: visible, never touched).
   * `attended: true` is one input, now: say it again with each, as what is acked long after the last one counts as unread; the
   * engine is told as often as it wants to know. `attended: false`: there was no input, whatever was said before. A field that is
   * left out is observed; undefined: all are.
   */
  setActivity(activity: Partial<Activity> | undefined): void;
  /**
   * Ends the session: push targets are released, nothing more is delivered to this device, and requests that wait are rejected with
   * `signed-out`. Then the client is closed. Without a connection it waits for one; when the page is left before, the next client in
   * this browser says it, whoever signs in there.
   */
  logout(): Promise<void>;
  /** Only leaves: messages go on to be pushed. What is unanswered is rejected with `closed`. */
  close(): Promise<void>;
}

/**
 * Connects to an engine.
 * @param url ws(s) or http(s), in a page also a path
 * @throws {PeykError} `bad-url`, `bad-name` (deviceId, account), `unsupported` (no WebSocket here)
 */
export function connect(url: string, options: ConnectOptions = {}): PeykClient {
  return connectIn(currentEnvironment(options), url, options);
}

/** `connect` with everything it takes from its surroundings given. */
export function connectIn(
  environment: Environment,
  url: string,
  { account, deviceId, token }: Pick<ConnectOptions, "account" | "token" | "deviceId">,
): PeykClient {
  const { time, page } = environment;
  const address = socketUrl(url, page);
  const credentials = createCredentials(token, time);
  if (account !== undefined) checkName(account, "account");
  if (deviceId !== undefined) checkName(deviceId, "deviceId");
  const statusListeners = new Set<(status: Status) => void>();
  const receiptListeners = new Set<(receipt: DeliveryReceipt) => void>();
  const gapListeners = new Set<(gap: Gap) => void>();
  const errorListeners = new Set<(error: PeykError, message: Message | undefined) => void>();
  const subscriptionListeners = new Set<(subscriptions: readonly Subscription[]) => void>();
  let status: Status = { state: "connecting" };
  let subscriptions: readonly Subscription[] = [];
  /** Whose connection it is. */
  let user: string | undefined;
  let life = "";

  const ended = new AbortController();
  const { signal } = ended;

  const activity = watchActivity(page, time, signal, (activity, back) => {
    sharing.send({ type: "activity", activity });
    if (back) sharing.send({ type: "wake" });
  });
  const outgoing = createOutgoing(time, credentials, (frame) => sharing.send({ type: "request", life, frame }));
  const inbox = createInbox({
    time,
    done: (cursor, failed) => sharing.send({ type: "done", cursor, failed }),
    wanted: () => sharing.send({ type: "pending" }),
    gap: receive,
    failed(error, message) {
      tell(errorListeners, error, message);
      // A message that can't be read is its sender's fault: it must not end the recipient's process.
      if (errorListeners.size === 0 && error.code !== "bad-message") unhandled(error);
    },
  });
  const sharing = createSharing({
    environment,
    url: address,
    account,
    deviceId,
    credentials,
    activity: activity.current,
    identify: outgoing.identify,
    life(name) {
      life = name;
      outgoing.disconnected();
    },
    connected(userId) {
      // What is queued was another user's.
      if (user !== userId) inbox.clear();
      user = userId;
      outgoing.connected(userId);
    },
    subscribed,
    status: follow,
    receive,
  });

  page?.window.addEventListener("online", () => sharing.send({ type: "wake" }), { signal });
  // A page that is put aside may come back as it was, without its socket; it may not hold the connection meanwhile.
  page?.window.addEventListener("pagehide", sharing.pause, { signal });
  page?.window.addEventListener("pageshow", ({ persisted }: Event & { persisted?: boolean }) => {
    if (persisted) sharing.resume();
  }, { signal });

  function receive(message: Exclude<ToTab, StatusNote>): void {
    if (signal.aborted) return;
    switch (message.type) {
      case "message":
        return inbox.message(message);
      case "ephemeral":
        return inbox.ephemeral(message);
      case "subscribed":
      case "unsubscribed":
        return inbox.forget(message.topic);
      case "ok":
      case "error":
        return outgoing.answer(message);
      case "gap":
        return tell(gapListeners, { topic: message.topic, position: positionOf(message) });
      case "receipt": {
        const { kind, id, topic, at } = message;
        // A later engine may know more kinds.
        if (kind !== "delivered" && kind !== "read" && kind !== "dismissed") return;
        return tell(receiptListeners, { kind, id, topic, position: positionOf(message), at });
      }
    }
  }

  function subscribed(topics: readonly Topic[]): void {
    if (same(topics, subscriptions.map(({ topic }) => topic))) return;
    subscriptions = topics.map((topic) => {
      const [to, channel] = topic.split("/") as [string, string];
      return { topic, to, channel };
    });
    tell(subscriptionListeners, subscriptions);
  }

  function follow(next: Status): void {
    if (signal.aborted || same(next, status)) return;
    status = next;
    if (next.state === "closed") void end(closedBy(next.reason));
    tell(statusListeners, next);
  }

  function end(error: PeykError): Promise<void> {
    outgoing.close(error);
    inbox.close();
    ended.abort();
    return sharing.leave();
  }

  async function mark(kind: "read" | "dismissed", { topic, position }: MessageRef): Promise<void> {
    if (!position) throw badMessage("An ephemeral message is in no log: it can't be marked.");
    await outgoing.ask({ type: "mark", kind, topic, ...positionOf(position) });
  }

  return {
    onMessage(...given: unknown[]) {
      const channel = typeof given[0] === "string" ? given.shift() as string : undefined;
      const [run, options] = given as [MessageHandler<never>, ListenOptions?];
      return inbox.add({ channel, run, patient: false }, options);
    },
    messages: <Data>(options: ListenOptions = {}) =>
      readMessages<Data>(inbox, options.signal ? AbortSignal.any([signal, options.signal]) : signal),
    onStatus: (listener, options) => joinTold(statusListeners, listener, status, options),
    onReceipt: (listener, options) => join(receiptListeners, listener, options),
    onGap: (listener, options) => join(gapListeners, listener, options),
    onError: (listener, options) => join(errorListeners, listener, options),
    async publish({ to, channel, id = randomId(), content, data, ...others }) {
      const topic = topicOf(to, channel);
      checkName(id, "id");
      if (content !== undefined && typeof content !== "string") throw badMessage("content is text; the rest goes into data.");
      const payload = encodePayload(content, data);
      const options = checkOptions(others);
      const value = await outgoing.ask({ type: "publish", topic, id, options, payload }, options.ephemeral);
      const { again: _, epoch, offset, ...result } = value as Omit<PublishResult, "position"> & {
        again?: boolean;
        epoch: number | null;
        offset: number;
      };
      return { ...result, position: epoch === null ? undefined : { epoch, offset } };
    },
    async subscribe({ to, channel, since, anew = false }) {
      const value = await outgoing.ask({
        type: "subscribe",
        topic: topicOf(to, channel),
        since: since ?? null,
        anew,
      });
      return positionOf(value as Position);
    },
    async unsubscribe({ to, channel }) {
      await outgoing.ask({ type: "unsubscribe", topic: topicOf(to, channel) });
    },
    subscriptions: () => subscriptions,
    onSubscriptions: (listener, options) => joinTold(subscriptionListeners, listener, subscriptions, options),
    markRead: (message) => mark("read", message),
    markDismissed: (message) => mark("dismissed", message),
    async registerPush({ provider, token, ...details }) {
      if (typeof token !== "string") throw badMessage("A push token is text; give a PushSubscription as JSON.");
      await outgoing.ask({ type: "target", provider: checkName(provider, "provider"), token, details });
    },
    async unregisterPush(provider) {
      await outgoing.ask({ type: "target", provider: checkName(provider, "provider"), token: null, details: null });
    },
    setActivity: activity.set,
    async logout() {
      sharing.signOut();
      await outgoing.ask({ type: "logout" });
    },
    close,
    [Symbol.asyncDispose]: close,
  };

  async function close(): Promise<void> {
    if (status.state === "closed") return;
    status = { state: "closed" };
    const left = end(closedBy(undefined));
    tell(statusListeners, status);
    await left;
  }
}

/** Takes a listener that is told how things are, now and whenever it changes. */
function joinTold<Value>(
  listeners: Set<(value: Value) => void>,
  listener: (value: Value) => void,
  now: Value,
  options: ListenOptions | undefined,
): () => void {
  const leave = join(listeners, listener, options);
  if (!options?.signal?.aborted) tell(new Set([listener]), now);
  return leave;
}

/** A listener that throws is its author's to know of; nobody else's turn is lost for it. */
function tell<Args extends unknown[]>(listeners: Set<(...args: Args) => void>, ...args: Args): void {
  for (const listener of [...listeners]) {
    try {
      listener(...args);
    } catch (error) {
      unhandled(error);
    }
  }
}

/** Lets the runtime report it as an uncaught error. */
function unhandled(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function positionOf({ epoch, offset }: Position): Position {
  return { epoch, offset };
}

function badMessage(hint: string): PeykError {
  return new PeykError("bad-message", "a message that can't be sent", { hint });
}

function closedBy(reason: CloseReason | undefined): PeykError {
  const code = reason === "unauthorized" || reason === "replaced" ? reason : reason === "signedOut" ? "signed-out" : "closed";
  return new PeykError(code, reason ? `the connection ended for good: ${reason}` : "the client is closed");
}
