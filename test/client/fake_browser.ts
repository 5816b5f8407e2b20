import type { BroadcastChannelLike, Environment, Locks, Page } from "../../src/client/environment.ts";
import type { PeykClient, Status } from "../../src/client/client.ts";
import { quiet, World } from "./fake_server.ts";

/** A page whose window and document are event targets, and whose visibility the test sets. */
export class FakePage implements Page {
  /** Of every listener there is or was. */
  readonly signals: (AbortSignal | undefined)[] = [];
  readonly window = this.#watched();
  readonly document = Object.assign(this.#watched(), { visibilityState: "visible", baseURI: "http://engine.test/app/" });

  /** The person goes to another tab, or comes back. */
  show(state: "visible" | "hidden"): void {
    this.document.visibilityState = state;
    this.document.dispatchEvent(new Event("visibilitychange"));
  }
  #watched(): EventTarget {
    const { signals } = this;
    return new class extends EventTarget {
      override addEventListener(...given: Parameters<EventTarget["addEventListener"]>): void {
        signals.push((given[2] as AddEventListenerOptions | undefined)?.signal);
        super.addEventListener(...given);
      }
    }();
  }
  happens(type: string, fields: object = {}): void {
    this.window.dispatchEvent(Object.assign(new Event(type), fields));
  }
}

interface Wait {
  readonly name: string;
  readonly tab: number;
  readonly grant: () => void;
}

interface Hold {
  readonly tab: number;
  readonly steal: () => void;
}

/** Locks as the Web Locks API keeps them: exclusive, first come, first served, unless one is stolen. */
class FakeLocks {
  readonly #held = new Map<string, Hold>();
  readonly #waiting: Wait[] = [];

  snapshot() {
    return {
      held: [...this.#held].map(([name, { tab }]) => ({ name, clientId: `${tab}` })),
      pending: this.#waiting.map(({ name, tab }) => ({ name, clientId: `${tab}` })),
    };
  }
  of({ id, act }: { id: number; act: (task: () => void) => void }): Locks {
    return {
      request: (name, { signal, steal }, held) =>
        new Promise((resolve, reject) => {
          const grant = () => {
            const stolen = () => act(() => reject(new DOMException("stolen", "AbortError")));
            const hold: Hold = { tab: id, steal: stolen };
            this.#held.set(name, hold);
            act(() => {
              Promise.resolve(held()).then((value) => {
                if (this.#held.get(name) === hold) this.#release(name);
                resolve(value);
              });
            });
          };
          if (steal) {
            this.#held.get(name)?.steal();
            return queueMicrotask(grant);
          }
          const waits = { name, tab: id, grant };
          this.#waiting.push(waits);
          signal?.addEventListener("abort", () => {
            const at = this.#waiting.indexOf(waits);
            if (at < 0) return;
            this.#waiting.splice(at, 1);
            reject(signal.reason);
          });
          queueMicrotask(() => this.#next(name));
        }),
      query: () => Promise.resolve(this.snapshot()),
    };
  }
  /** A tab is gone without a word. */
  kill(tab: number): void {
    for (let i = this.#waiting.length - 1; i >= 0; i--) if (this.#waiting[i]!.tab === tab) this.#waiting.splice(i, 1);
    for (const [name, hold] of this.#held) if (hold.tab === tab) this.#release(name);
  }
  #release(name: string): void {
    this.#held.delete(name);
    this.#next(name);
  }
  #next(name: string): void {
    if (this.#held.has(name)) return;
    const at = this.#waiting.findIndex((waiting) => waiting.name === name);
    if (at < 0) return;
    const [next] = this.#waiting.splice(at, 1);
    next!.grant();
  }
}

interface Channel {
  readonly tab: number;
  readonly name: string;
  readonly end: BroadcastChannelLike;
  readonly act: (task: () => void) => void;
}

/** Tabs of one browser: one storage, one set of locks, broadcast channels between them. */
export class Browser {
  readonly world = new World();
  readonly #locks = new FakeLocks();
  readonly #channels = new Set<Channel>();
  #tabs = 0;
  /** How long a note between tabs is under way, in microtasks. */
  hops = 1;

  locks() {
    return this.#locks.snapshot();
  }

  /** Of the channels that are open. */
  channelNames(): string[] {
    return [...new Set([...this.#channels].map(({ name }) => name))];
  }

  /** An environment of its own for each tab. */
  tab(): Tab {
    const tab = ++this.#tabs;
    const channels = this.#channels;
    const underWay = async () => {
      for (let hop = this.hops; hop > 0; hop--) await Promise.resolve();
    };
    const page = new FakePage();
    const { time } = this.world;
    const cleared = new Set<unknown>();
    /** What happens to a tab that stands still happens when it goes on. */
    let still: { task: () => void; ofLock: boolean }[] | undefined;
    let goesOn = false;
    const act = (task: () => void, ofLock = false): void => {
      if (still) still.push({ task, ofLock });
      else task();
    };
    const environment: Environment = {
      ...this.world.environment,
      page,
      // Each page counts from its own beginning.
      time: {
        now: () => time.now(),
        elapsed: () => time.elapsed() + 1_000_000 * tab,
        setTimeout(task, ms) {
          const timer = time.setTimeout(() =>
            act(() => {
              if (!cleared.delete(timer)) task();
            }), ms);
          return timer;
        },
        clearTimeout(timer) {
          // It may be due already, in a tab that stands still or has just gone on.
          if (still || goesOn) cleared.add(timer);
          time.clearTimeout(timer);
        },
        random: () => time.random(),
      },
      locks: this.#locks.of({ id: tab, act: (task) => act(task, true) }),
      BroadcastChannel: class implements BroadcastChannelLike {
        onmessage: ((event: never) => void) | null = null;
        readonly #own: Channel;
        constructor(name: string) {
          this.#own = { tab, name, end: this, act };
          channels.add(this.#own);
        }
        postMessage(message: unknown): void {
          if (!channels.has(this.#own)) throw new DOMException("closed", "InvalidStateError");
          const data = structuredClone(message);
          for (const other of [...channels]) {
            if (other === this.#own || other.name !== this.#own.name) continue;
            void underWay().then(() => {
              other.act(() => {
                if (channels.has(other)) other.end.onmessage?.({ data } as never);
              });
            });
          }
        }
        close(): void {
          channels.delete(this.#own);
        }
      },
    };
    const kill = () => {
      for (const channel of channels) if (channel.tab === tab) channels.delete(channel);
      this.#locks.kill(tab);
    };
    const freeze = () => void (still ??= []);
    const thaw = async ({ locksLast = false } = {}) => {
      const missed = still ?? [];
      if (locksLast) missed.sort((one, other) => Number(one.ofLock) - Number(other.ofLock));
      still = undefined;
      goesOn = true;
      for (const { task } of missed) {
        task();
        await quiet();
      }
      goesOn = false;
    };
    return { page, environment, kill, freeze, thaw };
  }
}

export interface Tab {
  readonly page: FakePage;
  readonly environment: Environment;
  /** The tab crashes: nothing of it runs any more that others could notice. */
  kill(): void;
  /** It stands still, as under a dialog: nothing of it runs, and what comes waits. */
  freeze(): void;
  /** `locksLast`: what became of its locks is told after all else. Browsers promise no order. */
  thaw(order?: { locksLast?: boolean }): Promise<void>;
}

/** A connected client in a page. */
export async function inPage() {
  const page = new FakePage();
  const world = new World({ page });
  const client = await world.connected();
  const said = () => world.socket.take("state").map(({ visible, idleMs }) => ({ visible, idleMs }));
  /** Time passes on a connection that lives. */
  const pass = async (ms: number) => {
    for (; ms > 0; ms -= 20_000) {
      await world.time.pass(Math.min(ms, 20_000));
      await world.socket.say({ type: "advance", topic: "*/quiet", epoch: 1, offset: 0, expired: 0 });
    }
  };
  return { page, world, client, said, pass };
}

/** The texts a client's handlers get. */
export function reading(client: PeykClient): (string | undefined)[] {
  const got: (string | undefined)[] = [];
  client.onMessage(({ content }) => void got.push(content));
  return got;
}

/** How a client stands. */
export function statusOf(client: PeykClient): Status {
  let now: Status;
  client.onStatus((status) => now = status)();
  return now!;
}
