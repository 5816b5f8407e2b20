import { now } from "../../fan_out/clock.ts";
import { SocketIoSubscriber } from "../../fan_out/subscribers/socket_io.ts";

/** As often as a client of Peyk acks: the same number of messages, and what Peyk's welcome says by default. */
const ACK_MESSAGES = 512;
const ACK_MS = 500;

/** A client of Socket.IO that tells by an event how much it has, as often as a client of Peyk does. */
export class AckingSocketIoSubscriber extends SocketIoSubscriber {
  #pending = 0;
  #ackedAt = -Infinity;

  protected override message(bytes: Buffer, start: number, _end = 0, at = now()): number {
    const held = super.message(bytes, start);
    this.#pending += held;
    if (held > 0 && (this.#pending >= ACK_MESSAGES || at - this.#ackedAt >= ACK_MS)) this.#ack(at, this.count + held);
    return held;
  }

  override owesAck(): boolean {
    return this.#pending > 0;
  }

  override tend(at: number): void {
    if (this.#pending > 0 && at - this.#ackedAt >= ACK_MS) this.#ack(at, this.count);
  }

  #ack(at: number, count: number): void {
    this.send("text", Buffer.from(`42["ack",${count}]`));
    this.#pending = 0;
    this.#ackedAt = at;
  }
}
