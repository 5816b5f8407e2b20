/**
 * The script of a page under test: one client, what it heard, and where a test asks for it a heart that beats for as long as this
 * page's timers run. Tests call it through `tab`.
 */
import { connect, type ConnectOptions, type PeykClient, PeykError, type Status } from "../../src/client/client.ts";

/** What the page's token function does when it is asked. */
export type TokenAnswer = { value: string } | { fault: "throws" | "hangs" | "is no text" };

/** How a page connects. The token always comes from a function, so that a test can change its mind. */
export interface StartOptions {
  url: string;
  account?: string;
  deviceId?: string;
  token?: TokenAnswer;
}

/** What a test may ask of a page. */
export interface TabPage {
  start(options: StartOptions): void;
  setToken(answer: TokenAnswer): void;
  /** The same while no connection is being tried: one that is has asked already, and a browser may put it off for seconds. */
  setNextToken(answer: TokenAnswer): Promise<void>;
  status(): Status;
  statuses(): readonly Status[];
  /** The content of all messages, in the order in which they came. */
  got(): readonly string[];
  /** What `onError` heard. */
  errors(): readonly string[];
  /** @returns "ok", or the error's code */
  publish(to: string, content: string): Promise<string>;
  /** Publishes, and does not wait: what becomes of it is told by `outcome`. */
  begin(to: string, content: string): void;
  /** "ok", the error's code, or "pending". */
  outcome(content: string): string;
  registerPush(token: string): Promise<string>;
  /** Logs out, and does not wait: what becomes of it is told by `outcome("logout")`. */
  logout(): void;
  close(): Promise<void>;
  /** It came out of the back-forward cache. */
  persisted(): boolean;
  visibility(): DocumentVisibilityState;
  /** The names of the channels over which this page's client talks to other tabs. */
  channels(): readonly string[];
}

declare global {
  var tab: TabPage;
}

const HEART_MS = 100;

function createTab(name: string, hasHeart: boolean): TabPage {
  const statuses: Status[] = [];
  const got: string[] = [];
  const errors: string[] = [];
  const outcomes = new Map<string, string>();
  const channels = new Set<string>();
  let client: PeykClient;
  let answer: TokenAnswer = { value: "" };
  let persisted = false;

  globalThis.BroadcastChannel = class extends BroadcastChannel {
    constructor(name: string) {
      super(name);
      channels.add(name);
    }
  };
  addEventListener("pageshow", (event) => persisted = event.persisted);
  if (hasHeart) {
    setInterval(() => void fetch(`/beat?tab=${encodeURIComponent(name)}`, { mode: "no-cors" }).catch(() => {}), HEART_MS);
  }

  function token(): string | Promise<string> {
    if ("value" in answer) return answer.value;
    if (answer.fault === "throws") throw new Error("no token today");
    return answer.fault === "hangs" ? new Promise(() => {}) : { token: "no text" } as unknown as string;
  }

  function outcomeOf(request: Promise<unknown>): Promise<string> {
    return request.then(() => "ok", (error) => error instanceof PeykError ? error.code : `not a PeykError: ${error}`);
  }

  async function follow(what: string, request: Promise<unknown>): Promise<void> {
    outcomes.set(what, "pending");
    outcomes.set(what, await outcomeOf(request));
  }

  return {
    start({ url, token: first, ...rest }) {
      if (first !== undefined) answer = first;
      const options: ConnectOptions & { account?: string } = first === undefined ? rest : { ...rest, token };
      client = connect(url, options);
      client.onStatus((status) => statuses.push(status));
      client.onMessage(({ content }) => void got.push(content ?? ""));
      client.onError((error) => errors.push(error.code));
    },
    setToken: (next) => answer = next,
    async setNextToken(next) {
      while (statuses.at(-1)?.state === "connecting") await new Promise((resolve) => setTimeout(resolve, 10));
      answer = next;
    },
    status: () => statuses.at(-1)!,
    statuses: () => statuses,
    got: () => got,
    errors: () => errors,
    publish: (to, content) => outcomeOf(client.publish({ to, content })),
    begin: (to, content) => void follow(content, client.publish({ to, content })),
    outcome: (content) => outcomes.get(content) ?? "unknown",
    registerPush: (token) => outcomeOf(client.registerPush({ provider: "stub", token })),
    logout: () => void follow("logout", client.logout()),
    close: () => client.close(),
    persisted: () => persisted,
    visibility: () => document.visibilityState,
    channels: () => [...channels],
  };
}

const { searchParams } = new URL(location.href);
globalThis.tab = createTab(searchParams.get("tab") ?? "", searchParams.has("heart"));
