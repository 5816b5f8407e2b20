import { Buffer } from "node:buffer";

/** `payload` as one unmasked, unfragmented binary message, the way a server sends it (RFC 6455 section 5.2). */
export function serverFrame(payload: Uint8Array): Buffer {
  const length = payload.length;
  const header = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const frame = Buffer.allocUnsafe(header + length);
  frame[0] = 0x82;
  if (header === 2) {
    frame[1] = length;
  } else if (header === 4) {
    frame[1] = 126;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = 127;
    frame.writeBigUInt64BE(BigInt(length), 2);
  }
  frame.set(payload, header);
  return frame;
}

/**
 * Frames each run of sends of the same bytes once: what fan-out does to a thousand connections in a row.
 *
 * It forgets at the end of the run (a microtask), so that nothing is kept alive, and bytes that are changed and sent again
 * later are framed again.
 */
export class Framer {
  #bytes: Uint8Array | undefined;
  #frame: Buffer | undefined;
  readonly #forget = (): void => {
    this.#bytes = undefined;
    this.#frame = undefined;
  };

  frame(bytes: Uint8Array): Buffer {
    if (this.#frame !== undefined && this.#bytes === bytes) return this.#frame;
    if (this.#frame === undefined) queueMicrotask(this.#forget);
    this.#bytes = bytes;
    this.#frame = serverFrame(bytes);
    return this.#frame;
  }
}
