import { PeykError } from "../protocol/errors.ts";

/** A WebSocket class, as browsers, Node and Deno have it and the `ws` package offers. */
export type WebSocketConstructor = new (url: string, protocols: string[]) => WebSocketLike;

/** What the client uses of a WebSocket. */
export interface WebSocketLike {
  binaryType: string;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: Uint8Array & { readonly buffer: ArrayBuffer }): void;
  close(code?: number, reason?: string): void;
}

/** A place that survives a reload of the page. `localStorage` behind two functions fits. */
export interface ClientStorage {
  get(key: string): string | null | undefined;
  set(key: string, value: string): void;
}

/** A page in a browser: its visibility, and the events of its window. */
export interface Page {
  readonly document: EventTarget & { readonly visibilityState: string; readonly baseURI: string };
  readonly window: EventTarget;
}

/** The part of `navigator.locks` that the tabs use. */
export interface Locks {
  request(name: string, options: { signal?: AbortSignal; steal?: boolean }, held: () => Promise<void> | void): Promise<unknown>;
  query(): Promise<{ held?: { name?: string; clientId?: string }[] }>;
}

/** The part of a BroadcastChannel that the tabs use. */
export interface BroadcastChannelLike {
  onmessage: ((event: never) => void) | null;
  postMessage(message: unknown): void;
  close(): void;
}

/** Time and chance. */
export interface Time {
  /** Milliseconds since 1970. */
  now(): number;
  /** Monotonic milliseconds. */
  elapsed(): number;
  setTimeout(task: () => void, ms: number): unknown;
  clearTimeout(timer: unknown): void;
  /** In [0, 1). */
  random(): number;
}

/** Everything the client takes from where it runs. */
export interface Environment {
  readonly time: Time;
  readonly WebSocket: WebSocketConstructor;
  readonly storage: ClientStorage | undefined;
  readonly page: Page | undefined;
  /** Both are there, or tabs do not share a connection. */
  readonly locks: Locks | undefined;
  readonly BroadcastChannel: (new (name: string) => BroadcastChannelLike) | undefined;
}

/**
 * What is here. Storage and tabs are taken from a page only: elsewhere two clients side by side are two devices.
 * @throws {PeykError} `unsupported` where there is no WebSocket
 */
export function currentEnvironment(given: { WebSocket?: WebSocketConstructor; storage?: ClientStorage }): Environment {
  const { document, navigator, BroadcastChannel, performance } = globalThis as Partial<typeof globalThis>;
  const WebSocket = given.WebSocket ?? (globalThis as Partial<typeof globalThis>).WebSocket;
  if (!WebSocket) {
    throw new PeykError("unsupported", "no WebSocket here", { hint: "Pass one as the option WebSocket." });
  }
  return {
    WebSocket,
    storage: given.storage ?? (document && pageStorage()),
    page: document && { document, window: globalThis },
    locks: document && navigator?.locks,
    BroadcastChannel: document && BroadcastChannel,
    time: {
      now: Date.now,
      elapsed: () => performance!.now(),
      setTimeout: (task, ms) => setTimeout(task, ms),
      clearTimeout: (timer) => clearTimeout(timer as number | undefined),
      random: Math.random,
    },
  };
}

/** Reading the property may throw (a page that may keep nothing), and so may each call (a full quota). */
function pageStorage(): ClientStorage | undefined {
  try {
    const { localStorage } = globalThis;
    return { get: (key) => localStorage.getItem(key), set: (key, value) => localStorage.setItem(key, value) };
  } catch {
    return undefined;
  }
}

/**
 * An engine's address as a WebSocket takes it. In a page it may be relative to it.
 * @throws {PeykError} `bad-url`
 */
export function socketUrl(given: string, page: Page | undefined): string {
  try {
    const url = new URL(given, page?.document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    if (/^wss?:$/.test(url.protocol) && url.hash === "") return url.href;
  } catch {
    // Said below.
  }
  throw new PeykError("bad-url", "not the address of an engine", { hint: "Give one that begins with ws:// or wss://." });
}

/** 128 unguessable bits as text, base64url. */
export function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
}
