import type { OutboxRow } from "../ports/outbox.ts";
import type { Topic } from "../protocol/names.ts";
import type { UserRecord } from "../ports/users.ts";

/** One device of a user, by the short name that stands for it. */
export interface Other {
  readonly userId: string;
  readonly device: string;
}

/** A topic that begins, with the version of the record that says so: a sender who hears no answer asks twice. */
export interface Anew {
  readonly topic: Topic;
  readonly version: number;
  /** It began before: what is before its new beginning is passed over. */
  readonly passes: boolean;
}

/** Which other nodes are meant. */
export type Nodes = readonly string[] | "all";

/** What delivery and push tell and ask the other nodes on the same storage. Mostly those that a user's record names. */
export interface Elsewhere {
  /** A newer attachment has the session: the node that held it lets go of it, unless it can't be reached. */
  takeOver(node: string, session: Other & { readonly generation: number }): Promise<void>;
  /**
   * The user's record was changed: these nodes do what it says with the sessions they hold, and begin no provider request any more
   * that it does not allow. Resolves when each has, or its lease has lapsed.
   *
   * @param nodes "all": whoever lives, because any node may push for anybody
   * @param anew what was subscribed to, and begins where the record says
   */
  follow(nodes: Nodes, userId: string, anew?: Anew): Promise<void>;
  /**
   * A user, or one device of theirs by its short name, was signed out: the same, and whoever waits there to be let in, or for what was
   * asked for, waits in vain.
   */
  signedOut(nodes: Nodes, userId: string, device: string | undefined): Promise<void>;
  /** Sessions were taken over from this node. Should it live after all, it is to let go of them. */
  adopted(node: string): void;
  /** A target has another token: what any node was told of the former one does not hold. A node that does not hear of it finds out later. */
  replaced(target: Pick<OutboxRow, "provider" | "targetId" | "userId">): void;
  /** Whether the person is at one of the user's other devices there. No answer in time: no. */
  attended(nodes: readonly string[], than: Other): Promise<boolean>;
}

/** For an engine that is alone on its storage: what other nodes a record may name are its former lives. */
export const nobodyElsewhere: Elsewhere = {
  takeOver: () => Promise.resolve(),
  follow: () => Promise.resolve(),
  signedOut: () => Promise.resolve(),
  adopted() {},
  replaced() {},
  attended: () => Promise.resolve(false),
};

/** The other nodes that hold sessions of a user. */
export function otherNodes({ sessions }: UserRecord, node: string): string[] {
  const nodes: string[] = [];
  for (const { node: other } of sessions) if (other !== null && other !== node && !nodes.includes(other)) nodes.push(other);
  return nodes;
}
