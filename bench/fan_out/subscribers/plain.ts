import { Subscriber } from "./subscriber.ts";

/** `ws` and `bare`: a WebSocket message is a payload. `ws-batched`: it is several of the agreed size. */
export class PlainSubscriber extends Subscriber {
  readonly request = { path: "/" };

  protected opened(): void {
    this.ready();
  }

  protected message(_bytes: Buffer, start: number, end: number): number {
    const held = (end - start) / this.phase.payloadBytes;
    if (!Number.isInteger(held)) throw new Error(`a message of ${end - start} bytes`);
    return held;
  }

  protected texts(message: Buffer): string[] {
    const text = message.toString("latin1");
    const size = this.phase.payloadBytes;
    return Array.from({ length: text.length / size }, (_, index) => text.slice(index * size, (index + 1) * size));
  }
}
