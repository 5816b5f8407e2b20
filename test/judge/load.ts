import type { IdleUser } from "./idle.ts";
import { LoadClient } from "./load_client.ts";
import type { Node, Stage } from "./node.ts";
import { SteadyUser } from "./steady.ts";

/** What one account may do to a node. */
export const LOADS = [
  "hello flood",
  "devices sign in and vanish",
  "messages that coalesce",
  "busy record",
  "crowded room",
  "hanging provider",
] as const;
export type LoadName = (typeof LOADS)[number];

const MESSAGES_AT_ONCE = 100;
const HELLO_MS = 3;
/** How long a device stays that signs in to vanish. */
const STAY_MS = 2_000;
const COALESCE_MS = 60_000;
/** So many of an idle user's operations are tried while the load goes on. */
const TRIES = 4;

/**
 * The users who make load: omid, whose devices have no target and only sign in, and dara, whose messages must be pushed like
 * everybody's. While they do, the idle user's operations are measured.
 */
export class Load {
  readonly dara: SteadyUser;
  readonly #stage: Stage;
  readonly #idle: IdleUser;
  #devices = 0;
  #messages = 0;

  constructor(stage: Stage, idle: IdleUser) {
    this.#stage = stage;
    this.#idle = idle;
    this.dara = new SteadyUser(stage, "dara", "load");
  }

  async begin(): Promise<void> {
    await this.dara.begin();
    this.#stage.call("subscribe", "dara", "square");
    await this.#stage.clock.advance(100);
  }

  /** Begins it; it goes on by itself as time does. */
  make(name: LoadName, pick: <T>(values: readonly T[]) => T): void {
    const { node, trace } = this.#stage;
    if (node === undefined) return;
    const isOfHellos = name === "hello flood" || name === "devices sign in and vanish";
    const going = (ms: number, from = 0): void => {
      trace.note({ what: "load", name, ms });
      this.#measure(ms, from, isOfHellos ? 0.8 : 0.2);
    };
    switch (name) {
      case "hello flood": {
        const hellos = pick([100, 250, 400]);
        going(hellos * HELLO_MS + 1_000, hellos * HELLO_MS / 2);
        return this.#flood(node, hellos);
      }
      case "devices sign in and vanish":
        going(STAY_MS);
        return this.#vanish(node, pick([20, 50, 100]), pick([0, 5]));
      case "messages that coalesce":
        going(COALESCE_MS + 5_000, COALESCE_MS);
        return this.#send(node, pick([100, 100, 200, 400]), { to: "dara", urgency: "low" });
      case "busy record": {
        const ms = pick([200, 500, 1_000]);
        going(3_000);
        this.#keepBusy(ms, 3_000);
        return this.#send(node, 40, { to: "dara" });
      }
      case "crowded room": {
        const messages = pick([100, 200]);
        going(messages * 10 + 500);
        return this.#repeat(node, messages, 10, () => this.#send(node, 1, { to: "*", channel: "square" }));
      }
      case "hanging provider": {
        const ms = pick([5_000, 20_000, 40_000]);
        going(ms);
        this.#hang(ms);
        return this.#send(node, MESSAGES_AT_ONCE, { to: "dara" });
      }
    }
  }

  /**
   * @param from when the load begins to be heavy
   * @param signIns how many of the operations are sign-ins
   */
  #measure(ms: number, from: number, signIns: number): void {
    const { clock, random } = this.#stage;
    for (let index = 0; index < TRIES; index++) {
      const isSignIn = random.fraction() < signIns;
      const after = from + random.fraction() * (ms - from);
      clock.setTimeout(() => isSignIn ? this.#idle.signIn() : this.#idle.receive(), after);
    }
  }

  #flood(node: Node, hellos: number): void {
    const clients: LoadClient[] = [];
    const hello = (): void => void clients.push(new LoadClient(node, "omid", "omid's phone"));
    for (let index = 0; index < 100; index++) hello();
    this.#repeat(node, hellos, HELLO_MS, hello);
    this.#stage.clock.setTimeout(() => clients.forEach((client) => client.leave()), hellos * HELLO_MS + 20_000);
  }

  #vanish(node: Node, devices: number, everyMs: number): void {
    const { clock, random } = this.#stage;
    const signIn = (): void => {
      const client = new LoadClient(node, "omid", `omid's ${++this.#devices}th`);
      clock.setTimeout(() => client.leave(), random.fraction() * STAY_MS);
    };
    if (everyMs > 0) return this.#repeat(node, devices, everyMs, signIn);
    for (let index = 0; index < devices; index++) signIn();
  }

  #send({ engine }: Node, count: number, to: { to: string; channel?: string; urgency?: "low" }): void {
    for (let index = 0; index < count; index++) {
      const id = `d${++this.#messages}`;
      engine.publish({ ...to, id, content: id }).catch(() => {});
    }
  }

  #keepBusy(ms: number, forMs: number): void {
    const { clock, store, trace } = this.#stage;
    const note = (ms: number): void => trace.note({ what: "lag", user: "dara", ms });
    const lag = (userId: string): number => userId === "dara" ? ms : 0;
    store.lag = lag;
    note(ms);
    clock.setTimeout(() => {
      // A later one goes on.
      if (store.lag !== lag) return;
      store.lag = () => 0;
      note(0);
    }, forMs);
  }

  #hang(forMs: number): void {
    const stage = this.#stage;
    const hangs = (isOn: boolean): void => {
      if (stage.isLoadHanging !== isOn) stage.trace.note({ what: "hangs", user: "dara", isOn });
      stage.isLoadHanging = isOn;
    };
    hangs(true);
    stage.clock.setTimeout(() => hangs(false), forMs);
  }

  /** As long as the node runs. */
  #repeat(node: Node, times: number, everyMs: number, task: () => void): void {
    if (times === 0) return;
    this.#stage.clock.setTimeout(() => {
      if (this.#stage.node !== node) return;
      task();
      this.#repeat(node, times - 1, everyMs, task);
    }, everyMs);
  }
}
