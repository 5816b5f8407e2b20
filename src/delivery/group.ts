import type { Connection } from "../ports/connection.ts";
import type { StateId } from "../session/step.ts";
import type { Outlet } from "./outlet.ts";
import { CHAIN_ROOM, type ChainPlace, type Follower, type Sending, type Unseen } from "./unseen.ts";

/** Somebody in a feed's list, or in a group. */
export interface Member<Self extends Member<Self>> extends Follower {
  /** The place in the list; -1: in none. */
  index: number;
  group: Group<Self> | undefined;
  /** Of the last logged entry that was sent. */
  sent: number;
  /** The app's handler is done up to here. */
  readonly acked: number;
  readonly session: { readonly state: StateId; readonly outlet: Outlet | undefined; readonly unseen: Unseen };
}

/**
 * Readers of a topic who are abreast: same state, same position, room for more. What goes to one goes to all, so it is decided
 * once, and noted once, on a chain that their windows follow: a message passes their connections and nothing else of theirs.
 * Whoever ceases to be like the others leaves, and is passed alone until it is like them again.
 */
export class Group<Reader extends Member<Reader>> {
  readonly state: StateId;
  sent: number;
  readers: Reader[] = [];
  /** Theirs, in the same order. */
  connections: Connection[] = [];
  /** Somebody may be going through both lists: they are replaced, not changed. */
  #inUse = false;
  /** Ends the timer that watches over all of them. */
  unwatch: (() => void) | undefined = undefined;
  #end: ChainPlace = { next: undefined };
  /** Frames since somebody looked how much room each of them has. */
  #unchecked = 0;

  constructor(state: StateId, sent: number) {
    this.state = state;
    this.sent = sent;
  }

  /** Whether this reader, who belongs to no group, is like these. */
  takes({ session, sent }: Reader): boolean {
    return session.state === this.state && sent === this.sent;
  }

  add(reader: Reader): void {
    const { outlet, unseen } = reader.session;
    reader.group = this;
    reader.chained = this.#end;
    unseen.follow(reader);
    reader.index = this.readers.push(reader) - 1;
    this.connections.push(outlet!.connection);
  }

  /** What it was sent up to here is its own from here on. */
  remove(reader: Reader): void {
    if (this.#inUse) {
      this.#inUse = false;
      this.readers = this.readers.slice();
      this.connections = this.connections.slice();
    }
    const last = this.readers.pop()!;
    const connection = this.connections.pop()!;
    if (last !== reader) {
      this.readers[reader.index] = last;
      this.connections[reader.index] = connection;
      last.index = reader.index;
    }
    reader.session.unseen.unfollow(reader);
    reader.group = undefined;
    reader.index = -1;
    reader.sent = this.sent;
    if (this.readers.length === 0) this.unwatch?.();
  }

  /** Those who may not have room for so many frames more. */
  crowded(frames: number): Reader[] {
    this.#unchecked += frames;
    if (this.#unchecked <= CHAIN_ROOM) return [];
    this.#unchecked = frames;
    return this.readers.filter(({ session }) => session.unseen.room < 0);
  }

  /**
   * Notes what all of them are sent. From here on it is theirs, whoever leaves before it has left: so it is for the lists as
   * they are now.
   * @param last the offset of the last entry; 0: no log has them
   */
  note(run: readonly Sending[], order: number, last: number): void {
    const end: ChainPlace = { next: undefined };
    this.#end.next = { run, order, end };
    this.#end = end;
    if (last !== 0) this.sent = last;
    this.#inUse = true;
  }
}
