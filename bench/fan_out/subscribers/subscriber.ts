import type { Socket } from "node:net";
import { now } from "../clock.ts";
import type { Phase } from "../phase.ts";

/** What a frame asks for besides being counted. */
const Opcode = { text: 1, binary: 2, close: 8, ping: 9 } as const;

/**
 * One raw connection to the peer. Knows as much of RFC 6455 as counting takes; subclasses know as much of what the peer
 * puts into its WebSocket messages.
 */
export abstract class Subscriber {
  /** Messages of the current phase so far. */
  count = 0;
  protected readonly socket: Socket;
  protected phase: Phase;
  readonly #ready: () => void;
  #upgraded = false;
  /** The beginning of a frame whose end is still to come. */
  #rest: Buffer | undefined;

  constructor(socket: Socket, phase: Phase, ready: () => void) {
    this.socket = socket;
    this.phase = phase;
    this.#ready = ready;
  }

  /** The path and further header lines of the upgrade request. */
  abstract readonly request: { path: string; headers?: string };
  /** The upgrade was answered. */
  protected abstract opened(): void;
  /** One whole WebSocket message. @returns how many of the phase's messages it held */
  protected abstract message(bytes: Buffer, start: number, end: number, at: number): number;
  /** The texts of the phase's messages in that WebSocket message, properly decoded. */
  protected abstract texts(message: Buffer): string[];
  /** Whether an ack is still to be sent. */
  owesAck(): boolean {
    return false;
  }
  /** Called now and then. */
  tend(_at: number): void {}

  begin(phase: Phase): void {
    this.phase = phase;
    this.count = 0;
  }

  upgrade(port: number): void {
    const { path, headers = "" } = this.request;
    this.socket.write(
      `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n${headers}\r\n`,
    );
  }

  /** What the socket brought: the first `length` bytes of `chunk`, which is reused afterwards. */
  read(chunk: Buffer, length: number): void {
    let bytes = chunk;
    let end = length;
    if (this.#rest !== undefined) {
      bytes = Buffer.concat([this.#rest, chunk.subarray(0, length)]);
      end = bytes.length;
      this.#rest = undefined;
    }
    const start = this.#upgraded ? 0 : this.#answer(bytes, end);
    const rest = this.#frames(bytes, start, end);
    if (rest < end) this.#rest = Buffer.from(bytes.subarray(rest, end));
  }

  protected ready(): void {
    this.#ready();
  }

  /** Sends one whole frame, masked with zeros. */
  protected send(opcode: "text" | "binary", payload: Uint8Array): void {
    const size = payload.length;
    const head = size < 126 ? [0x80 | size, 0, 0, 0, 0] : [0xfe, size >> 8, size & 255, 0, 0, 0, 0];
    this.socket.write(Buffer.concat([Buffer.from([0x80 | Opcode[opcode], ...head]), payload]));
  }

  /** The answer to the upgrade. @returns where the frames begin */
  #answer(bytes: Buffer, end: number): number {
    const head = bytes.subarray(0, end).indexOf("\r\n\r\n");
    if (head < 0) return 0;
    const status = bytes.subarray(0, head).toString("latin1").split("\r\n", 1)[0];
    if (status !== "HTTP/1.1 101 Switching Protocols") throw new Error(`the upgrade was answered with ${status}`);
    this.#upgraded = true;
    this.opened();
    return head + 4;
  }

  /** Steps from frame to frame. @returns where the first one begins that is not whole yet */
  #frames(bytes: Buffer, start: number, end: number): number {
    if (!this.#upgraded) return start;
    const at = now();
    const before = this.count;
    let from = start;
    while (end - from >= 2) {
      let size = bytes[from + 1]!;
      let body = from + 2;
      if (size === 126) {
        if (end - from < 4) break;
        size = bytes.readUInt16BE(from + 2);
        body = from + 4;
      } else if (size === 127) {
        if (end - from < 10) break;
        size = bytes.readUInt32BE(from + 6);
        body = from + 10;
      }
      if (end - body < size) break;
      this.#frame(bytes[from]!, bytes, body, body + size, at);
      from = body + size;
    }
    if (this.count > before) this.phase.received(before, this.count, at);
    return from;
  }

  #frame(head: number, bytes: Buffer, start: number, end: number, at: number): void {
    const opcode = head & 0x0f;
    if (head !== (0x80 | opcode)) throw new Error("a fragment or an extension where none was agreed on");
    if (opcode === Opcode.text || opcode === Opcode.binary) {
      const held = this.message(bytes, start, end, at);
      if (held > 0 && this.phase.looksClosely(held)) {
        this.phase.verify(this.texts(bytes.subarray(start, end)), this.count, held);
      }
      this.count += held;
    } else if (opcode === Opcode.close) {
      const code = end - start >= 2 ? bytes.readUInt16BE(start) : 1005;
      throw new Error(`the server closed with ${code} ${bytes.subarray(start + 2, end)}`);
    } else {
      throw new Error(`a frame with opcode ${opcode} that this receiver does not answer`);
    }
  }
}
