import type { BroadcastChannelLike, Environment, Locks, Page } from "../../src/client/environment.ts";
import type { PeykClient } from "../../src/client/client.ts";
import { World } from "./fake_server.ts";

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

/** Locks as the Web Locks API keeps them: exclusive, first come, first served. */
class FakeLocks {
  readonly #held = new Map<string, number>();
  readonly #waiting: { name: string; tab: number; signal: AbortSignal; grant: () => void }[] = [];

  of(tab: number): Locks {
    return {
      request: (name, { signal }, held) =>
        new Promise((resolve, reject) => {
          const grant = () => {
            this.#held.set(name, tab);
            Promise.resolve(held()).then((value) => {
              if (this.#held.get(name) === tab) this.#release(name);
              resolve(value);
            });
          };
          const waits = { name, tab, signal, grant };
          this.#waiting.push(waits);
          signal.addEventListener("abort", () => {
            const at = this.#waiting.indexOf(waits);
            if (at >= 0) this.#waiting.splice(at, 1);
            reject(signal.reason);
          });
          queueMicrotask(() => this.#next(name));
        }),
    };
  }
  /** A tab is gone without a word. */
  kill(tab: number): void {
    for (let i = this.#waiting.length - 1; i >= 0; i--) if (this.#waiting[i]!.tab === tab) this.#waiting.splice(i, 1);
    for (const [name, holder] of this.#held) if (holder === tab) this.#release(name);
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
    this.#held.set(name, next!.tab);
    next!.grant();
  }
}

/** Tabs of one browser: one storage, one set of locks, broadcast channels between them. */
export class Browser {
  readonly world = new World();
  readonly #locks = new FakeLocks();
  readonly #channels = new Set<{ tab: number; name: string; end: BroadcastChannelLike }>();
  #tabs = 0;
  /** How long a note between tabs is under way, in microtasks. */
  hops = 1;

  /** An environment of its own for each tab. */
  tab(): Tab {
    const tab = ++this.#tabs;
    const channels = this.#channels;
    const underWay = async () => {
      for (let hop = this.hops; hop > 0; hop--) await Promise.resolve();
    };
    const page = new FakePage();
    const { time } = this.world;
    const environment: Environment = {
      ...this.world.environment,
      page,
      // Each page counts from its own beginning.
      time: {
        now: () => time.now(),
        elapsed: () => time.elapsed() + 1_000_000 * tab,
        setTimeout: (task, ms) => time.setTimeout(task, ms),
        clearTimeout: (timer) => time.clearTimeout(timer),
        random: () => time.random(),
      },
      locks: this.#locks.of(tab),
      BroadcastChannel: class implements BroadcastChannelLike {
        onmessage: ((event: never) => void) | null = null;
        readonly #own: { tab: number; name: string; end: BroadcastChannelLike };
        constructor(name: string) {
          this.#own = { tab, name, end: this };
          channels.add(this.#own);
        }
        postMessage(message: unknown): void {
          if (!channels.has(this.#own)) throw new DOMException("closed", "InvalidStateError");
          const data = structuredClone(message);
          for (const other of [...channels]) {
            if (other === this.#own || other.name !== this.#own.name) continue;
            void underWay().then(() => {
              if (channels.has(other)) other.end.onmessage?.({ data } as never);
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
    return { page, environment, kill };
  }
}

export interface Tab {
  readonly page: FakePage;
  readonly environment: Environment;
  /** The tab crashes: nothing of it runs any more that others could notice. */
  kill(): void;
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
