import { WebSocket } from "ws";
import {
  type ClientStorage,
  connect,
  type Message,
  type PeykClient,
  type WebSocketConstructor,
} from "../../src/client/client.ts";
import { sleep } from "../core/time.ts";
import { SILENT_MS } from "./plan.ts";

export interface DeviceOptions {
  url: string;
  userId: string;
  deviceId: string;
  came(message: Message): void;
  /** What must not happen. */
  complain(fault: string): void;
}

/** One installation of an app, on a socket that can be lost. What it stored outlives the app. */
export class Device {
  readonly userId: string;
  readonly deviceId: string;
  readonly #options: DeviceOptions;
  readonly #stored = new Map<string, string>();
  #socket: WebSocket | undefined;
  #client: PeykClient | undefined;
  /** Something is being done to it: nothing else is meanwhile. */
  #isBusy = false;

  constructor(options: DeviceOptions) {
    this.#options = options;
    this.userId = options.userId;
    this.deviceId = options.deviceId;
    this.open();
  }

  /** The app, while it is open. */
  get client(): PeykClient | undefined {
    return this.#client;
  }

  /** The person starts the app. */
  open(): void {
    // deno-lint-ignore no-this-alias
    const device = this;
    const { came, complain, deviceId, url, userId } = this.#options;
    class LosableSocket extends WebSocket {
      constructor(address: string, protocols: string[]) {
        super(address, protocols);
        device.#socket = this;
      }
    }
    const storage: ClientStorage = {
      get: (key) => this.#stored.get(key),
      set: (key, value) => void this.#stored.set(key, value),
    };
    const client = this.#client = connect(url, {
      ...{ deviceId, storage, token: () => userId },
      WebSocket: LosableSocket as unknown as WebSocketConstructor,
    });
    client.onMessage(came);
    client.onError((error) => complain(`a message was given up: ${error.message}`));
    client.onGap(({ topic }) => complain(`a gap in ${topic}`));
  }

  /** The person ends the app. */
  async close(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.close();
  }

  /** The network takes the socket. The app is ended, and the engine does not hear of that. */
  async vanish(): Promise<void> {
    this.#socket?.terminate();
    await this.close();
  }

  /** The network takes the socket, and the app comes back by itself. */
  lose(): void {
    this.#socket?.terminate();
  }

  /** Nothing gets through any more, and after a while the socket is gone. */
  async fallSilent(): Promise<void> {
    await this.#alone(async () => {
      const socket = this.#socket;
      socket?.pause();
      await sleep(SILENT_MS);
      socket?.terminate();
    });
  }

  async toBackground(ms: number): Promise<void> {
    await this.#alone(async () => {
      this.#client?.setActivity({ visible: false });
      await sleep(ms);
      this.#client?.setActivity({ visible: true });
    });
  }

  async closeFor(ms: number): Promise<void> {
    await this.#alone(async () => {
      await this.close();
      await sleep(ms);
      this.open();
    });
  }

  async #alone(task: () => Promise<void>): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    await task();
    this.#isBusy = false;
  }
}
