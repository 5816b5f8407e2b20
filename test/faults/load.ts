import type { OutgoingMessage, Position } from "../../mod.ts";
import { PeykError } from "../../src/protocol/errors.ts";
import type { Device } from "./device.ts";
import type { EngineNode, Fault } from "./engine_node.ts";

/** The public channel that everybody is subscribed to. */
export const NEWS = "news";

/** A message from the moment on in which it was published. */
export interface Published {
  readonly id: string;
  /** A userId, or `*` for the news. */
  readonly to: string;
  readonly at: number;
  state: "under way" | "accepted" | "refused";
  position?: Position;
  fault?: Fault;
}

const TICK_MS = 50;
/** Publishes without an answer, at most: then the load waits. */
const MOST_UNDER_WAY = 2_000;

/** What a load is made of. */
export interface LoadOptions {
  nodes: readonly EngineNode[];
  devices: readonly Device[];
  /** Deliveries to make at least. */
  deliveries: number;
  /** Over how long they are spread. */
  seconds: number;
  /** Text that each message carries. */
  content?: string;
}

/**
 * Publishes through all nodes that can be used, and through clients, until there is enough and whatever is to happen meanwhile
 * has happened. What a node that died did not answer is published again, under the same id, on another one.
 */
export class Load {
  readonly published: Published[] = [];
  readonly #options: LoadOptions;
  readonly #users: readonly string[];
  readonly #rounds: number;
  readonly #perTick: number;
  readonly #running = new Set<Promise<void>>();
  #round = 0;
  #turn = 0;

  constructor(options: LoadOptions) {
    const { devices, deliveries, seconds } = options;
    this.#options = options;
    this.#users = [...new Set(devices.map(({ userId }) => userId))];
    // A round is a piece of news and four private messages.
    const perRound = devices.length + 4 * devices.length / this.#users.length;
    this.#rounds = Math.ceil(deliveries / perRound);
    this.#perTick = this.#rounds * TICK_MS / (seconds * 1_000);
  }

  get accepted(): Published[] {
    return this.published.filter(({ state }) => state === "accepted");
  }

  /** @param during begins when a fifth is published; the load goes on until it ends */
  async run(during: () => Promise<void>): Promise<void> {
    let happening: Promise<void> | undefined;
    let over = false;
    for (let due = 0; !over || this.#round < this.#rounds;) {
      due += this.#perTick;
      while (due >= 1 && this.#running.size < MOST_UNDER_WAY) {
        due--;
        this.#publishRound();
      }
      due = Math.min(due, 1);
      if (happening === undefined && this.#round * 5 >= this.#rounds) {
        happening = during().finally(() => over = true);
        happening.catch(() => {}); // Told below, when the load has ended.
      }
      await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    }
    await happening;
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  /** One message more, whoever it is for. */
  publish(to: string, content?: string): Promise<Published> {
    const message: Published = { id: `m${this.published.length}`, to, at: Date.now(), state: "under way" };
    this.published.push(message);
    const run = this.#byNode(message, content ?? this.#options.content);
    this.#track(run);
    return run.then(() => message);
  }

  #publishRound(): void {
    const { devices } = this.#options;
    const round = this.#round++;
    void this.publish("*");
    for (let i = 0; i < 3; i++) void this.publish(this.#users[(3 * round + i) % this.#users.length]!);
    const publisher = devices[round % devices.length]!;
    const to = this.#users[(7 * round + 1) % this.#users.length]!;
    if (publisher.role !== "stays") return void this.publish(to);
    const message: Published = { id: `m${this.published.length}`, to, at: Date.now(), state: "under way" };
    this.published.push(message);
    this.#track(this.#byClient(message, publisher));
  }

  #track(run: Promise<void>): void {
    this.#running.add(run);
    void run.finally(() => this.#running.delete(run));
  }

  async #byNode(message: Published, content: string | undefined): Promise<void> {
    for (;;) {
      const node = this.#nextNode();
      if (node === undefined) throw new Error("no node is there to publish on");
      const [answer] = node.publish([outgoing(message, content)]);
      const outcome = await answer!;
      if (outcome.kind === "unanswered") continue;
      if (outcome.kind === "accepted" && outcome.durable) {
        Object.assign(message, { state: "accepted", position: outcome.position });
      } else if (outcome.kind === "refused") Object.assign(message, { state: "refused", fault: outcome.fault });
      else throw new Error("accepted, but not durable");
      return;
    }
  }

  async #byClient(message: Published, publisher: Device): Promise<void> {
    try {
      const { position } = await publisher.client.publish(outgoing(message, this.#options.content));
      Object.assign(message, { state: "accepted", position });
    } catch (error) {
      const { code, retryable, message: text } = error instanceof PeykError ? error : new PeykError("internal", String(error));
      Object.assign(message, { state: "refused", fault: { code, retryable, message: text } });
    }
  }

  #nextNode(): EngineNode | undefined {
    const usable = this.#options.nodes.filter((node) => node.usable);
    return usable[this.#turn++ % usable.length];
  }
}

function outgoing({ id, to }: Published, content = "news"): OutgoingMessage & { id: string } {
  return to === "*" ? { id, to, channel: NEWS, content } : { id, to, content };
}
