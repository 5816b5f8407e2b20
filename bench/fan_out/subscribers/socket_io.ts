import { Subscriber } from "./subscriber.ts";

const [ZERO, TWO, FOUR] = Buffer.from("024");

/** Engine.IO protocol 4 with the Socket.IO packets of one namespace: "0…" open, "40" connect, "2" ping, `42[…]` event. */
export class SocketIoSubscriber extends Subscriber {
  readonly request = { path: "/socket.io/?EIO=4&transport=websocket" };

  protected opened(): void {}

  protected message(bytes: Buffer, start: number): number {
    if (bytes[start] === FOUR && bytes[start + 1] === TWO) return 1;
    if (bytes[start] === FOUR && bytes[start + 1] === ZERO) this.ready();
    else if (bytes[start] === ZERO) this.send("text", Buffer.from("40"));
    else if (bytes[start] === TWO) this.send("text", Buffer.from("3"));
    else throw new Error(`an unexpected packet: ${bytes.subarray(start, start + 80)}`);
    return 0;
  }

  protected texts(message: Buffer): string[] {
    const [event, text] = JSON.parse(message.subarray(2).toString()) as [string, string];
    if (event !== "message") throw new Error(`an unexpected event: ${event}`);
    return [text];
  }
}
