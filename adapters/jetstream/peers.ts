import type { StorageContext } from "../../src/ports/storage.ts";
import type { Peers } from "../../src/ports/peers.ts";
import { closedConnection } from "../nats/errors.ts";
import type { Link } from "../nats/link.ts";
import { tokenOf } from "../nats/subjects.ts";
import type { JetStreamConnection, JetStreamMessage } from "./connection.ts";
import { type Inbox, isUnheard } from "./inbox.ts";

/** Nodes talk over core NATS: nothing is kept, whoever is away misses it. */
export class NatsPeers implements Peers {
  readonly #name: string;
  readonly #link: Link<JetStreamConnection>;
  readonly #inbox: Inbox;
  readonly #context: StorageContext;
  readonly #ends = new Set<() => void>();

  constructor(name: string, link: Link<JetStreamConnection>, inbox: Inbox, context: StorageContext) {
    this.#name = name;
    this.#link = link;
    this.#inbox = inbox;
    this.#context = context;
  }

  tell(address: string, bytes: Uint8Array): void {
    this.#link.send(this.#subject(address), bytes);
  }

  ask(
    address: string,
    bytes: Uint8Array,
    { ms, enough }: { ms: number; enough(answers: readonly Uint8Array[]): boolean },
  ): Promise<Uint8Array[]> {
    const answers: Uint8Array[] = [];
    if (enough(answers)) {
      this.tell(address, bytes);
      return Promise.resolve(answers);
    }
    return new Promise((resolve) => {
      const end = (): void => {
        this.#inbox.forget(reply);
        this.#context.clock.clearTimeout(timer);
        this.#ends.delete(end);
        resolve(answers);
      };
      const reply = this.#inbox.open((message) => {
        if (isUnheard(message)) return end(); // Nobody listens at that address.
        answers.push(message.data);
        if (enough(answers)) end();
      });
      const timer = this.#context.clock.setTimeout(end, ms);
      this.#ends.add(end);
      if (!this.#link.send(this.#subject(address), bytes, { reply })) end();
    });
  }

  async listen(
    address: string,
    heard: (bytes: Uint8Array) => Uint8Array | undefined | Promise<Uint8Array | undefined>,
  ): Promise<{ close(): void }> {
    if (this.#link.hasEnded) throw closedConnection();
    const { logger } = this.#context;
    const { connection } = this.#link;
    const answer = async ({ data, reply }: JetStreamMessage): Promise<void> => {
      const bytes = await heard(data);
      if (bytes !== undefined && reply) this.#link.send(reply, bytes);
    };
    const subscription = connection.subscribe(this.#subject(address), {
      callback: (error, message) => {
        if (error !== null) logger.error("NATS refuses a subscription", { error });
        else answer(message).catch((error) => logger.error("a listener for other nodes threw", { error }));
      },
    });
    const close = (): void => {
      this.#ends.delete(close);
      subscription.unsubscribe();
    };
    this.#ends.add(close);
    // The server has it once it answered. While it is away, it gets it when it is back.
    if (this.#link.isUp) await connection.flush().catch(() => {});
    return { close };
  }

  close(): void {
    for (const end of [...this.#ends]) end();
  }

  #subject(address: string): string {
    return `${this.#name}.peer.${tokenOf(address)}`;
  }
}
