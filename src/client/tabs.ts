import type { BroadcastChannelLike, Environment } from "./environment.ts";
import { randomId } from "./environment.ts";
import type { Leader, PersonState, ToLeader, ToTab } from "./leader.ts";

/** A tab's line to whoever holds the connection. */
export interface Tabs {
  send(message: ToLeader): void;
  /** Leaves. If this tab held the connection, another takes it over. */
  close(): Promise<void>;
}

export interface TabsOptions {
  environment: Environment;
  /** Tabs of one installation have the same. */
  name: string;
  /** Opens the connection; this tab is the one that holds it. */
  lead(emit: (tab: string | undefined, message: ToTab) => void): Leader;
  receive(message: ToTab): void;
  /** How this tab introduces itself to a leader. */
  activity(): PersonState;
}

/** What goes over the BroadcastChannel. */
type Note =
  | { up: true; from: string; body: ToLeader }
  /** From the leader, to all tabs when `to` is undefined. */
  | { up: false; from: string; to: string | undefined; body: ToTab };

/**
 * One connection for all tabs of an installation. A lock elects the tab that holds it; it is free again when that tab is
 * gone, however it went. Each tab keeps a lock of its own too: by its end the leader knows that the tab is gone.
 *
 * Every tab's handlers get each message. The device has acked it as soon as one tab is done with it.
 */
export function joinTabs({ environment, name, lead, receive, activity }: TabsOptions): Tabs {
  const { locks, BroadcastChannel } = environment;
  const self = randomId();
  let leader: Leader | undefined;
  /** The leader that was heard last. */
  let heard: string | undefined;
  if (!locks || !BroadcastChannel) {
    leader = lead((_tab, message) => receive(message));
    leader.receive(self, { type: "join", activity: activity() });
    return { send: (message) => leader!.receive(self, message), close: () => leader!.stop() };
  }

  const leaving = new AbortController();
  const { signal } = leaving;
  let release: () => void;
  const released = new Promise<void>((resolve) => release = resolve);
  const channel: BroadcastChannelLike = new BroadcastChannel(name);

  const post = (note: Note) => {
    if (!signal.aborted) channel.postMessage(note);
  };
  const lockOf = (tab: string) => `${name}:${tab}`;

  /** Resolves while the lock is held; it is held until this tab leaves. */
  function hold(lock: string, held: () => void): void {
    locks!.request(lock, { signal }, () => {
      if (signal.aborted) return;
      held();
      return released;
    }).catch(() => {}); // Aborted: this tab left before it was its turn.
  }

  function send(body: ToLeader): void {
    if (leader) leader.receive(self, body);
    else post({ up: true, from: self, body });
  }

  const join = () => send({ type: "join", activity: activity() });

  channel.onmessage = ({ data }: { data: Note }) => {
    if (data.up) {
      if (!leader) return;
      if (data.body.type === "join") {
        const { from } = data;
        locks.request(lockOf(from), { signal }, () => leader?.leave(from)).catch(() => {});
      }
      leader.receive(data.from, data.body);
    } else {
      // Another one than before, or a word of the former one that was overtaken: whoever leads now tells how things are.
      if (data.from !== heard && !leader) join();
      heard = data.from;
      if (data.to !== undefined && data.to !== self) return;
      // What the former leader said last can be overtaken by the lock that it left free, too.
      if (!leader || isLastWord(data.body)) receive(data.body);
    }
  };

  // The own lock first: the leader, once it has heard of this tab, waits for it.
  hold(lockOf(self), () => {
    join();
    hold(name, () => {
      leader = lead((tab, message) => {
        // The others first: what ends this tab is for them too.
        if (tab !== self) post({ up: false, from: self, to: tab, body: message });
        if (tab === undefined || tab === self) receive(message);
      });
      join();
    });
  });

  return {
    send,
    async close() {
      if (signal.aborted) return;
      const stopped = leader?.stop();
      leaving.abort();
      channel.close();
      release();
      await stopped;
    },
  };
}

function isLastWord(message: ToTab): boolean {
  return message.type === "ok" || message.type === "error" || (message.type === "status" && message.status.state === "closed");
}
