import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { vi } from "vitest";
import { type WebSocket, WebSocketServer } from "ws";
import { decodeClientFrames } from "../../src/protocol/codec.ts";
import type { ClientFrame } from "../../src/protocol/frames.ts";
import type { AppStep, ClientState, Subject } from "../protocol/traces.ts";
import { PythonClient } from "./python.ts";

const WAIT = { timeout: 15_000, interval: 2 };

/** A connection that the client opened. */
interface Connection {
  readonly socket: WebSocket;
  /** What the client has said and the test has not taken. */
  readonly heard: ClientFrame[];
  /** Bytes of each message that the client has sent. */
  readonly sizes: number[];
  closedWith: number | undefined;
}

/** A Python client whose server is the test, over a real socket. */
export class PlayedTo implements Subject {
  readonly #http: ReturnType<typeof createServer>;
  readonly #client: PythonClient;
  readonly #waiting: Connection[] = [];
  #now: Connection | undefined;

  static async begin(python: string, token = "", kept: unknown = null): Promise<PlayedTo> {
    const http = createServer();
    await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
    return new PlayedTo(python, http, token, kept);
  }

  private constructor(python: string, http: ReturnType<typeof createServer>, token: string, kept: unknown) {
    this.#http = http;
    const server = new WebSocketServer({ server: http, handleProtocols: () => "peyk.v1" });
    server.on("connection", (socket) => {
      const connection: Connection = { socket, heard: [], sizes: [], closedWith: undefined };
      socket.on("message", (data: Uint8Array) => {
        connection.sizes.push(data.length);
        connection.heard.push(...decodeClientFrames(new Uint8Array(data)));
      });
      socket.on("close", (code) => connection.closedWith = code);
      this.#waiting.push(connection);
    });
    this.#client = new PythonClient(python, `ws://127.0.0.1:${(http.address() as AddressInfo).port}/peyk`, token, kept);
  }

  async connection(): Promise<void> {
    await vi.waitUntil(() => this.#waiting.length > 0, WAIT);
    this.#now = this.#waiting.shift()!;
  }
  /** Waits until the client has it: it answers the WebSocket's own ping in turn. */
  async say(bytes: Uint8Array): Promise<void> {
    const { socket } = this.#now!;
    const taken = new Promise<void>((resolve) => {
      socket.once("pong", () => resolve());
      socket.once("close", () => resolve());
    });
    socket.send(bytes);
    socket.ping();
    await taken;
    await this.#client.state();
  }
  async heard(count: number): Promise<ClientFrame[]> {
    const now = this.#now!;
    await vi.waitUntil(() => now.heard.length >= count, WAIT).catch(() => {});
    await this.#client.state();
    return now.heard.splice(0);
  }
  sizes(): number[] {
    return this.#now!.sizes;
  }
  async closes(): Promise<number> {
    return await vi.waitUntil(() => this.#now!.closedWith, WAIT);
  }
  async end(code: number | undefined): Promise<void> {
    if (code === undefined) this.#now!.socket.terminate();
    else this.#now!.socket.close(code);
    await this.closes();
  }
  app(step: AppStep): Promise<void> {
    return this.#client.app(step);
  }
  state(): Promise<ClientState> {
    return this.#client.state();
  }
  async close(): Promise<void> {
    await this.#client.kill();
    for (const connection of [this.#now, ...this.#waiting]) connection?.socket.terminate();
    this.#http.closeAllConnections();
    this.#http.close();
  }
}
