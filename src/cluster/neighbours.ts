import type { Anew, Elsewhere, Nodes, Other } from "../delivery/elsewhere.ts";
import type { Explanation } from "../explain.ts";
import type { Clock } from "../ports/clock.ts";
import type { Peers } from "../ports/peers.ts";
import type { Users } from "../ports/users.ts";
import type { LoggedRef } from "../protocol/message_ref.ts";
import { addressOf, ALL_NODES, decodeTalk, encodeTalk, type HeldSession, type Question } from "./questions.ts";

/** What talking to other nodes works with. */
export interface NeighbourParts {
  node: string;
  peers: Peers;
  users: Users;
  clock: Clock;
}

/** How long an answer is worth waiting for when a decision can be made without it. */
const ANSWER_MS = 500;
/** Between two looks at whether a node that does not answer still lives. */
const ASK_AGAIN_MS = 250;

/** The other nodes on the same storage, as this one asks them. */
export class Neighbours implements Elsewhere {
  readonly #parts: NeighbourParts;
  /** What is being insisted on. */
  readonly #errands = new Set<Promise<void>>();
  /** Nodes that are being told that they lost sessions; due: there are more since they were last asked. */
  readonly #reminders = new Map<string, { due: boolean }>();
  /** Ends the waits between two tries. */
  readonly #naps = new Set<() => void>();
  #closed = false;

  constructor(parts: NeighbourParts) {
    this.#parts = parts;
  }

  async takeOver(node: string, { userId, device, generation }: Other & { readonly generation: number }): Promise<void> {
    const question: Question = { kind: "takeOver", userId, device, generation };
    // The newer connection need not wait for a node that can't be reached; the older one ends when it can be.
    const isSilent = this.#reminders.has(node);
    if (isSilent || (await this.#ask(node, question)).length === 0) this.adopted(node);
  }

  adopted(node: string): void {
    const reminder = this.#reminders.get(node);
    if (reminder !== undefined) reminder.due = true;
    else void this.#track(this.#remind(node));
  }

  replaced({ provider, targetId, userId }: Parameters<Elsewhere["replaced"]>[0]): void {
    const { node, peers } = this.#parts;
    peers.tell(
      ALL_NODES,
      encodeTalk({ from: node, question: { kind: "replaced", provider, targetId, userId } satisfies Question }),
    );
  }

  follow(nodes: Nodes, userId: string, anew?: Anew): Promise<void> {
    return this.#insistEach(nodes, anew === undefined ? { kind: "follow", userId } : { kind: "follow", userId, anew });
  }

  signedOut(nodes: Nodes, userId: string, device: string | undefined): Promise<void> {
    return this.#insistEach(nodes, device === undefined ? { kind: "signedOut", userId } : { kind: "signedOut", userId, device });
  }

  async #insistEach(nodes: Nodes, question: Question): Promise<void> {
    const asked = nodes === "all" ? await this.#others() : nodes;
    await Promise.all(asked.map((node) => this.#track(this.#insist(node, question))));
  }

  async attended(nodes: readonly string[], { userId, device }: Other): Promise<boolean> {
    return (await this.#askEach(nodes, { kind: "attended", userId, device })).includes(true);
  }

  /** A user's sessions there, as far as answers come in time. */
  async sessions(nodes: readonly string[], userId: string): Promise<HeldSession[]> {
    return (await this.#askEach(nodes, { kind: "sessions", userId })).flat() as HeldSession[];
  }

  /** What every other node can say about a message. */
  async explain(message: LoggedRef): Promise<Explanation[]> {
    const { node, peers } = this.#parts;
    const others = await this.#others();
    const question: Question = { kind: "explain", message };
    const enough = (answers: readonly Uint8Array[]): boolean => answers.length >= others.length;
    const answers = await peers.ask(ALL_NODES, encodeTalk({ from: node, question }), { ms: ANSWER_MS, enough });
    return answers.flatMap((answer) => decodeTalk(answer) as Explanation[]);
  }

  async #others(): Promise<string[]> {
    const { node, users } = this.#parts;
    return (await users.liveNodes()).filter((other) => other !== node);
  }

  async #askEach(nodes: readonly string[], question: Question): Promise<unknown[]> {
    return (await Promise.all(nodes.map((node) => this.#ask(node, question)))).flat();
  }

  /** @returns the answer, or nothing */
  async #ask(node: string, question: Question): Promise<unknown[]> {
    const bytes = encodeTalk({ from: this.#parts.node, question });
    const answers = await this.#parts.peers.ask(addressOf(node), bytes, { ms: ANSWER_MS, enough: ({ length }) => length > 0 });
    return answers.slice(0, 1).map(decodeTalk);
  }

  /** Asks until there is an answer, or until the node's lease has lapsed: then it writes nothing more. */
  async #insist(node: string, question: Question): Promise<void> {
    while (!this.#closed && (await this.#ask(node, question)).length === 0) {
      if (!(await this.#parts.users.liveNodes()).includes(node)) return;
      await this.#nap();
    }
  }

  /**
   * The same for sessions that were taken from a node, however many: nobody waits for it, and while the store does not say who
   * lives, everybody may.
   */
  async #remind(node: string): Promise<void> {
    const reminder = { due: true };
    this.#reminders.set(node, reminder);
    while (reminder.due && !this.#closed) {
      // What is taken from here on may come too late for the look that it answers with.
      reminder.due = false;
      try {
        if ((await this.#ask(node, { kind: "lost" })).length > 0) continue;
        reminder.due = (await this.#parts.users.liveNodes()).includes(node);
      } catch {
        reminder.due = true;
      }
      if (reminder.due) await this.#nap();
    }
    this.#reminders.delete(node);
  }

  async #track(errand: Promise<void>): Promise<void> {
    this.#errands.add(errand);
    try {
      await errand;
    } finally {
      this.#errands.delete(errand);
    }
  }

  async #nap(): Promise<void> {
    if (this.#closed) return;
    const { clock } = this.#parts;
    await new Promise<void>((resolve) => {
      const end = (): void => {
        clock.clearTimeout(timer);
        this.#naps.delete(end);
        resolve();
      };
      const timer = clock.setTimeout(end, ASK_AGAIN_MS);
      this.#naps.add(end);
    });
  }

  /** Gives up what is still being insisted on. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const end of [...this.#naps]) end();
    await Promise.allSettled(this.#errands);
  }
}
