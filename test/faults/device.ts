import { WebSocket } from "ws";
import {
  type ClientStorage,
  connect,
  type Message,
  type PeykClient,
  type WebSocketConstructor,
} from "../../src/client/client.ts";
import type { EngineNode } from "./engine_node.ts";

/** What a device does when the fault comes. */
export type Role =
  /** Stays, and comes back whenever it loses its socket. */
  | "stays"
  /** Is gone from that moment on, without a word. */
  | "vanishes"
  /** Left in order before. */
  | "away";

/** One user's device: the real client, and what its application saw. */
export class Device {
  readonly userId: string;
  readonly deviceId: string;
  readonly role: Role;
  /** Index of the node it tries first. */
  readonly home: number;
  /** When the handler ran, by message id. */
  readonly handled = new Map<string, number>();
  /** The times of all runs of the handler, in order. */
  readonly servedAt: number[] = [];
  /** What must never happen: a second run for one id, an order that is not the log's, a gap told. */
  readonly complaints: string[] = [];
  duplicates = 0;
  /** When it had left in order; the last one may have no end yet. */
  readonly absences: { readonly from: number; to: number }[] = [];
  connected = false;
  /** Messages on a socket that it gave up, of which its node does not know, while it is connected through another one. */
  strays = 0;
  readonly #nodes: readonly EngineNode[];
  readonly #entries: Map<string, string>;
  readonly #kept = new Map<string, string>();
  readonly #last = new Map<string, number>();
  #tries = 0;
  #socket: WebSocket | undefined;
  #numb: WebSocket | undefined;
  #client: PeykClient | undefined;

  /** @param entries which message stands at which position: the same for all devices */
  constructor(
    { userId, index, role, home }: { userId: string; index: number; role: Role; home: number },
    nodes: readonly EngineNode[],
    entries: Map<string, string>,
  ) {
    this.userId = userId;
    this.deviceId = `device ${index} of ${userId}, its secret`;
    this.role = role;
    this.home = home;
    this.#nodes = nodes;
    this.#entries = entries;
  }

  /** Its push target. */
  get token(): string {
    return `target of ${this.deviceId}`;
  }

  get client(): PeykClient {
    return this.#client!;
  }

  /** Begins, or begins again, with what it kept. */
  connect(home: number = this.home): void {
    // deno-lint-ignore no-this-alias
    const device = this;
    const nodes = this.#nodes;
    this.#tries = home;
    // Its own idea of a load balancer: on each try the next node.
    class RoutedSocket extends WebSocket {
      #givenUp = false;

      constructor(_url: string, protocols: string[]) {
        super(nodes[device.#tries++ % nodes.length]!.url, protocols);
        device.#socket = this;
        this.on("message", () => {
          if (this.#givenUp && device.connected) device.strays++;
        });
      }

      override close(code?: number): void {
        if (device.#numb === this) this.#givenUp = true;
        else super.close(code);
      }
    }
    const storage: ClientStorage = { get: (key) => this.#kept.get(key), set: (key, value) => void this.#kept.set(key, value) };
    const client = connect("ws://peyk.test/peyk", {
      ...{ token: this.userId, deviceId: this.deviceId, storage },
      WebSocket: RoutedSocket as unknown as WebSocketConstructor,
    });
    client.onStatus((status) => {
      this.connected = status.state === "connected";
      const absence = this.absences.at(-1);
      if (this.connected && absence?.to === Infinity) absence.to = Date.now();
      if (status.state === "closed" && status.reason !== undefined) this.complaints.push(`closed for good: ${status.reason}`);
    });
    client.onMessage((message) => this.#handle(message));
    client.onGap(({ topic, position }) => this.complaints.push(`a gap in ${topic} up to ${position.offset}`));
    client.onError((error) => this.complaints.push(`given up: ${error.message}`));
    this.#client = client;
  }

  /** Leaves in order. */
  async leave(): Promise<void> {
    this.absences.push({ from: Date.now(), to: Infinity });
    await this.#client?.close();
  }

  /**
   * Its socket breaks, and it does not come back.
   *
   * @param silently its node does not hear of that either
   */
  vanish(silently: boolean): void {
    if (silently) {
      this.benumb();
      this.stopReading();
    } else this.#socket?.terminate();
    void this.#client?.close();
  }

  /** Should it give up the socket that it has now, its node does not hear of it: as when a network forgets a connection. */
  benumb(): void {
    this.#numb = this.#socket;
  }

  /** Stops reading from its socket: what is sent to it stays on the way. */
  stopReading(): void {
    this.#socket?.pause();
  }

  readAgain(): void {
    this.#socket?.resume();
  }

  #handle({ id, topic, position }: Message): void {
    const now = Date.now();
    this.servedAt.push(now);
    if (this.handled.has(id)) {
      this.duplicates++;
      this.complaints.push(`${id} came twice`);
    } else this.handled.set(id, now);
    const { epoch, offset } = position!;
    if (offset <= (this.#last.get(topic) ?? 0)) this.complaints.push(`${topic}: ${offset} came after ${this.#last.get(topic)}`);
    this.#last.set(topic, offset);
    const place = `${topic} ${epoch} ${offset}`;
    const known = this.#entries.get(place);
    if (known === undefined) this.#entries.set(place, id);
    else if (known !== id) this.complaints.push(`${place} is ${id} here and ${known} elsewhere`);
  }
}
