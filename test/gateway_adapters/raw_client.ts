import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";

/** The parts of a WebSocket frame, legal or not. */
export interface RawFrame {
  fin?: boolean;
  rsv?: number;
  opcode?: number;
  masked?: boolean;
  payload?: Uint8Array;
  /** What the header says, where that is a lie. */
  declared?: bigint;
}

/** A client's frame as bytes (RFC 6455 section 5.2). The mask is zero: legal, and leaves the payload readable. */
export function rawFrame(
  { fin = true, rsv = 0, opcode = 2, masked = true, payload = new Uint8Array(0), declared }: RawFrame,
): Buffer {
  const length = declared ?? BigInt(payload.length);
  const mask = masked ? 0x80 : 0;
  const first = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  let header: Buffer;
  if (length < 126n) {
    header = Buffer.from([first, mask | Number(length)]);
  } else if (length < 65_536n) {
    header = Buffer.from([first, mask | 126, 0, 0]);
    header.writeUInt16BE(Number(length), 2);
  } else {
    header = Buffer.alloc(10);
    header.set([first, mask | 127]);
    header.writeBigUInt64BE(length, 2);
  }
  return Buffer.concat([header, masked ? Buffer.alloc(4) : Buffer.alloc(0), payload]);
}

/** The headers of a right handshake; undefined leaves one out. */
export function handshake(
  headers: Record<string, string | undefined> = {},
  { path = "/peyk", method = "GET" }: { path?: string; method?: string } = {},
): string {
  const all: Record<string, string | undefined> = {
    Host: "127.0.0.1",
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "peyk.v1",
    ...headers,
  };
  const lines = Object.entries(all).flatMap(([name, value]) => value === undefined ? [] : [`${name}: ${value}`]);
  return `${method} ${path} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`;
}

/** A TCP socket that speaks as much or as little HTTP and WebSocket as a test wants. */
export class RawClient {
  readonly socket: Socket;
  #bytes: Buffer = Buffer.alloc(0);
  /** The server has ended its side, or the socket broke. */
  ended = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => void (this.#bytes = Buffer.concat([this.#bytes, chunk])));
    socket.on("end", () => void (this.ended = true));
    socket.on("close", () => void (this.ended = true));
    socket.on("error", () => void (this.ended = true));
  }

  /** @param allowHalfOpen keep our side open when the server ends its own */
  static open(port: number, first: string | Uint8Array = handshake(), allowHalfOpen = false): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: "127.0.0.1", allowHalfOpen });
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        const client = new RawClient(socket);
        socket.write(first);
        resolve(client);
      });
    });
  }

  write(bytes: string | Uint8Array): void {
    this.socket.write(bytes);
  }

  /** The HTTP answer: status line, headers and, for refusals, the body. */
  get answer(): string {
    const text = this.#bytes.toString("latin1");
    return text.startsWith("HTTP/1.1 101") ? text.slice(0, text.indexOf("\r\n\r\n") + 4) : text;
  }

  get status(): number {
    return Number(/^HTTP\/1\.[01] (\d+)/.exec(this.answer)?.[1] ?? 0);
  }

  /** The whole frames that the server sent so far. Throws when what came is not a sequence of unmasked final frames. */
  get frames(): { opcode: number; payload: Buffer }[] {
    const frames = [];
    let at = this.answer.length;
    while (at + 2 <= this.#bytes.length) {
      const first = this.#bytes.readUInt8(at);
      const short = this.#bytes.readUInt8(at + 1);
      if ((first & 0xf0) !== 0x80 || short > 127) throw new Error(`not a whole, unmasked frame at ${at}: ${first} ${short}`);
      const header = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (at + header > this.#bytes.length) break;
      const length = header === 2
        ? short
        : header === 4
        ? this.#bytes.readUInt16BE(at + 2)
        : Number(this.#bytes.readBigUInt64BE(at + 2));
      if (at + header + length > this.#bytes.length) break;
      frames.push({ opcode: first & 0x0f, payload: this.#bytes.subarray(at + header, at + header + length) });
      at += header + length;
    }
    return frames;
  }

  /** The code of the close frame the server sent; 0 for one without a code, undefined for none. */
  get closeCode(): number | undefined {
    const frame = this.frames.find(({ opcode }) => opcode === 8);
    return frame && (frame.payload.length >= 2 ? frame.payload.readUInt16BE(0) : 0);
  }
}
