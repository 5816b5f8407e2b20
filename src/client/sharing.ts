import { CloseCode } from "../protocol/codes.ts";
import { fingerprint } from "../protocol/fingerprint.ts";
import { nameFault, type Topic } from "../protocol/names.ts";
import type { PeykError } from "../protocol/errors.ts";
import { type CloseReason, type Status, WELCOME_WITHIN_MS } from "./connection.ts";
import type { Credentials } from "./credentials.ts";
import { createDeviceStore, type DeviceStore } from "./device_store.ts";
import type { Environment } from "./environment.ts";
import { createLeader, isRefused, type PersonState, type StatusNote, type ToLeader, type ToTab } from "./leader.ts";
import { joinTabs, type Tabs } from "./tabs.ts";

/**
 * Which tabs share a connection and a device: those of one account, of one user, or of the first tab's user. Where the app
 * names the installation, only those of that one.
 */
interface Scope {
  /** As the app names it. Nobody asks whose the tabs' tokens are. */
  readonly account?: string | undefined;
  /** The engine has said that this tab's token is that user's, and not the first tab's. */
  readonly user?: string;
  /** Nobody can say whose tab this is: it shares with none. */
  readonly alone?: true;
}

/** When it could not be said whose this tab is, it is asked again. */
const COMPARE_AGAIN_WITHIN_MS = 10_000;

/** This tab's part in a connection, of its own or shared. */
export interface Sharing {
  send(message: ToLeader): void;
  /** The device is to be signed out, if not on this connection then at the next start. */
  signOut(): void;
  /** The page is put aside, and comes back. */
  pause(): void;
  resume(): void;
  leave(): Promise<void>;
}

export interface SharingOptions {
  environment: Environment;
  url: string;
  account: string | undefined;
  deviceId: string | undefined;
  credentials: Credentials;
  activity(): PersonState;
  /** Asks the engine, over the leader's connection, whose this token is. */
  identify(token: string): Promise<string>;
  /** A new connection of that name, on which this tab may ask for nothing but whose its token is; "": there is none. */
  life(name: string): void;
  /** It is this tab's user's. */
  connected(userId: string): void;
  subscribed(topics: readonly Topic[]): void;
  status(status: Status): void;
  receive(message: Exclude<ToTab, StatusNote>): void;
}

export function createSharing(options: SharingOptions): Sharing {
  const { account, activity, credentials, deviceId, environment, url } = options;
  const { time } = environment;
  /** Whose tab this is, as far as the engine has said. */
  let user: string | undefined;
  let scope: Scope;
  /** It has a name that says whose it is. */
  let isNamed: boolean;
  let name: string | undefined;
  let store: DeviceStore;
  let tabs: Tabs;
  /** This tab holds the connection. */
  let leads: boolean;
  let life = "";
  /** What the leader said last of how it stands. */
  let heard: StatusNote | undefined;
  /** What the tab is told of this connection is for its user. */
  let isMember: boolean;
  /** The connection whose user was compared with this tab's, or is being. */
  let compared = "";
  let comparisons = 0;
  let timer: unknown;

  function enter(next: Scope): void {
    scope = next;
    const { alone, ...who } = scope;
    isNamed = Object.keys(who).length > 0;
    const key = fingerprint(JSON.stringify([url, who, deviceId]));
    // One installation that the app has named is as many devices as there are people.
    const named = isNamed && deviceId ? `${deviceId.slice(-100)}~${key}` : deviceId;
    name = alone ? undefined : `peyk:${key}`;
    store = createDeviceStore({ environment, url, name, deviceId: nameFault(named) ? undefined : named });
    resume();
  }

  function resume(): void {
    leads = isMember = false;
    begin("");
    tabs = joinTabs({
      environment,
      name,
      lead: (host) => createLeader({ environment, url, store, credentials, host, user: scope.user, end: options.status }),
      receive,
      activity,
      belongs: () => isNamed || user !== undefined,
      failed: () => credentials.failed,
    });
  }

  function move(next: Scope): void {
    void tabs.close();
    enter(next);
  }

  function receive(message: ToTab, own: boolean): void {
    if (message.type === "status") hear(message, own);
    else if (isMember || message.type === "ok" || message.type === "error") options.receive(message);
  }

  function begin(next: string): void {
    if (next === life) return;
    life = next;
    comparisons++;
    time.clearTimeout(timer);
    options.life(life);
  }

  function hear(note: StatusNote, own: boolean): void {
    const { status } = heard = note;
    leads = own;
    begin(note.life);
    if (status.state === "connected") {
      const { userId } = status;
      if (scope.user !== undefined && scope.user !== userId) move({});
      else if (own || scope.account !== undefined || userId === (scope.user ?? user)) belong(userId, own);
      else if (compared !== life) void compare(userId);
    } else if (own || (isMember && !isRefused(status))) options.status(status);
    else if (status.state !== "closed") {
      // The leader's token is no good: perhaps this tab's is.
      if (isRefused(status) && !credentials.failed) tabs.send({ type: "ask", failed: false });
      options.status({ state: "connecting" });
    }
  }

  function belong(userId: string, own: boolean): void {
    if (compared !== life || !isMember) {
      compared = life;
      isMember = true;
      user = userId;
      if (!own) {
        tabs.send({ type: "join", activity: activity() });
        tabs.send({ type: "pending" });
      }
      options.connected(userId);
    }
    options.subscribed(heard!.topics);
    options.status({ state: "connected", userId });
  }

  /** Whose is this tab's token? Until that is known nothing of the leader's is for it. */
  async function compare(leaders: string): Promise<void> {
    const mine = ++comparisons;
    let reason: CloseReason = "token";
    isMember = false;
    compared = life;
    options.status({ state: "connecting" });
    timer = time.setTimeout(failed, WELCOME_WITHIN_MS);
    try {
      const token = await credentials.ask();
      if (mine !== comparisons) return;
      time.clearTimeout(timer);
      if (token === null) return move({ alone: true });
      reason = "internal";
      const userId = await options.identify(token);
      if (mine !== comparisons) return;
      user = userId;
      if (userId === leaders) belong(userId, false);
      else move({ user: userId });
    } catch (error) {
      if (mine === comparisons) failed(error);
    }

    function failed(error?: unknown): void {
      time.clearTimeout(timer);
      const { code, hint } = (error ?? {}) as Partial<PeykError>;
      if (reason === "token") credentials.fail();
      else if (code === "expired" || code === "unauthorized") reason = code;
      const why = { reason, ...(hint && { hint }) };
      if (reason === "unauthorized") return options.status({ state: "closed", ...why });
      const ms = time.random() * COMPARE_AGAIN_WITHIN_MS;
      timer = time.setTimeout(() => void compare(leaders), ms);
      options.status({ state: "waiting", retryAt: time.now() + ms, ...why });
    }
  }

  enter(account === undefined ? {} : { account });
  return {
    send: (message) => tabs.send(message),
    signOut() {
      // Of a tab that has not been heard of yet the device may be another user's.
      if (leads || isMember || isNamed) store.signOut();
    },
    pause: () => void tabs.close(CloseCode.left),
    resume,
    leave() {
      time.clearTimeout(timer);
      comparisons++;
      return tabs.close();
    },
  };
}
