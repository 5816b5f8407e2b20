import type { CloseCode } from "../protocol/codes.ts";
import { type BroadcastChannelLike, type Environment, randomId } from "./environment.ts";
import type { Leader, LeaderHost, PersonState, ToLeader, ToTab } from "./leader.ts";

/** A visible tab asks so often whether the leader is there; a hidden one's timers run once a minute in some browsers. */
const ASK_EVERY_MS = 2_000;
const ASK_HIDDEN_EVERY_MS = 60_000;
/** A leader that has not answered for so long stands still: another tab takes over. */
const SILENT_MS = 5_000;
/** Tabs lose patience up to so much sooner or later, not all at the same moment. */
const SPREAD_MS = 250;
/** A timer that fires so much too late: this tab stood still itself. */
const LATE_MS = 1_500;

/** A tab's line to the one that holds the connection. */
export interface Tabs {
  send(message: ToLeader): void;
  /**
   * Leaves. If this tab held the connection, another takes it over when this one's is closed.
   * @param code the page goes, and with it the last tab's connection ends with this code: nothing is waited for
   */
  close(code?: CloseCode): Promise<void>;
}

export interface TabsOptions {
  environment: Environment;
  /** Tabs that share have the same. Undefined: this one shares with nobody. */
  name: string | undefined;
  /** Opens the connection; this tab is the one that holds it. */
  lead(host: LeaderHost): Leader;
  /** @param own this tab holds the connection */
  receive(message: ToTab, own: boolean): void;
  activity(): PersonState;
  /** Whether this tab's user is known to be the one whose connection it joins. */
  belongs(): boolean;
  /** Whether this tab's own token was no good. */
  failed(): boolean;
}

/** What goes over the BroadcastChannel. A leader's term is above those of all leaders before; what has a lower one is of the past. */
type Note =
  & { term: number; from: string }
  & (
    | { up: true; body: ToLeader }
    /** From the leader, to all tabs when `to` is undefined. */
    | { up: false; to: string | undefined; body: ToTab }
  );

/**
 * One connection for all tabs that share a device. A lock elects the tab that holds it; it is free again when that tab is gone,
 * however it went. Should the leader stand still with it (a dialog, a breakpoint), another tab takes the lock away. Each tab keeps
 * a lock of its own too: by its end the leader knows that the tab is gone.
 *
 * Every tab's handlers get each message. The device has acked it as soon as one tab is done with it.
 */
export function joinTabs(options: TabsOptions): Tabs {
  const { activity, belongs, environment, failed, lead, name, receive } = options;
  const { BroadcastChannel, locks, page, time } = environment;
  const self = randomId();
  const leaving = new AbortController();
  const { signal } = leaving;
  /** Tabs whose end is waited for. */
  const watched = new Set<string>();
  let channel: BroadcastChannelLike | undefined;
  let leader: Leader | undefined;
  /** Of the leader that was heard last, this tab included. */
  let term = 0;
  /** Ends the wait for the lock, or its hold. */
  let turn = new AbortController();
  /** Who held the lock when it was looked at last. */
  let holder: string | undefined;
  /** Since then the leader has not been heard. */
  let silentFrom = 0;
  let timer: unknown;
  let dueAt = 0;
  let isClosed = false;

  const lockOf = (tab: string) => `${name}:${tab}`;

  function post(note: Note): void {
    channel?.postMessage(note);
  }

  function send(body: ToLeader): void {
    if (leader) leader.receive(self, body);
    else post({ up: true, term, from: self, body });
    // A reason to doubt.
    if (!leader && body.type === "wake") void look();
  }

  const join = () => send({ type: "join", activity: activity() });
  const ask = () => send({ type: "ask", failed: failed() });

  async function holderOf(lock: string): Promise<string | undefined> {
    return (await locks!.query()).held?.find((held) => held.name === lock)?.clientId;
  }

  /** The leader waits for the lock that a tab holds as long as it lives. */
  function watch(tab: string): void {
    if (watched.has(tab)) return;
    watched.add(tab);
    locks!.request(lockOf(tab), { signal }, () => {
      watched.delete(tab);
      leader?.leave(tab);
    }).catch(() => {}); // Aborted: this tab left first.
  }

  /** Waits for the lock, or takes it from a tab that stands still. */
  function queue(steal: boolean): void {
    turn.abort();
    const mine = turn = new AbortController();
    hold(name!, mine.signal, begin, steal);
  }

  /** The lock is held until the signal aborts. */
  function hold(lock: string, until: AbortSignal, held: () => void, steal = false): void {
    locks!.request(lock, steal ? { steal } : { signal: until }, () => {
      if (isClosed || until.aborted) return;
      held();
      return new Promise<void>((resolve) => until.onabort = () => resolve());
    }).catch((error: unknown) => {
      if (until.aborted) return;
      if (!(error instanceof DOMException)) throw error;
      if (error.name === "AbortError") depose();
      else alone();
    });
  }

  /** Locks are there and refused: cookies are blocked, or it is a frame in a sandbox. */
  function alone(): void {
    if (leader) return;
    turn.abort();
    channel?.close();
    channel = undefined;
    begin();
  }

  function begin(): void {
    time.clearTimeout(timer);
    leader = lead({
      heard: term,
      shared: channel !== undefined,
      emit(tab, body) {
        // The others first: what ends this tab is for them too.
        if (tab !== self) post({ up: false, term, from: self, to: tab, body });
        if (tab === undefined || tab === self) receive(body, true);
      },
      deposed: async () => channel !== undefined && await holderOf(name!) !== await holderOf(lockOf(self)),
      stepDown: depose,
    });
    term = leader.term;
    join();
    ask();
  }

  /** Another tab leads, or is to. */
  function depose(): void {
    if (isClosed) return;
    void leader?.stop();
    leader = undefined;
    silentFrom = time.elapsed();
    queue(false);
    void look();
  }

  function plan(ms: number): void {
    time.clearTimeout(timer);
    timer = time.setTimeout(look, ms);
    dueAt = time.now() + ms;
  }

  /** The leader lives. */
  function heard(theirs: number): void {
    silentFrom = time.elapsed() + time.random() * 2 * SPREAD_MS - SPREAD_MS;
    plan(activity().visible ? ASK_EVERY_MS : ASK_HIDDEN_EVERY_MS);
    if (theirs === term) return;
    term = theirs;
    holder = undefined;
    if (belongs()) join();
  }

  /**
   * Asks whether the leader is there, and takes over when it is not. The wait goes on from the answer about the lock: browsers put
   * off timers of hidden tabs that were set by timers.
   */
  async function look(): Promise<void> {
    const now = time.elapsed();
    const isLate = time.now() - dueAt >= LATE_MS;
    // What was answered meanwhile is not read yet; and of a long while in which nobody asked nothing is known.
    if (isLate || now - silentFrom > SILENT_MS + LATE_MS) silentFrom = now;
    ask();
    const holds = await holderOf(name!);
    if (leader || !channel) return;
    // Another one leads, and was not heard so far.
    if (holder && holds !== holder) silentFrom = time.elapsed();
    holder = holds;
    const left = silentFrom + SILENT_MS - time.elapsed();
    if (left > 0) plan(Math.min(ASK_EVERY_MS, left));
    else queue(true);
  }

  if (!name || !locks || !BroadcastChannel) begin();
  else {
    channel = new BroadcastChannel(name);
    channel.onmessage = ({ data }: { data: Note }) => {
      // Other code of this site may write here too.
      if (!Number.isSafeInteger(data?.term) || typeof data.body?.type !== "string") return;
      if (data.up) {
        const { body, from } = data;
        // Before it has heard of a leader, a tab can only ask for one.
        if (!leader || (data.term !== term && body.type !== "ask")) return;
        if (body.type === "join") watch(from);
        leader.receive(from, body);
      } else {
        const { body, to } = data;
        const isOver = body.type === "status" && (body.status as { reason?: string } | null)?.reason === "signedOut";
        // A sign-out is everybody's, also when the lock that its leader left free was faster than its word.
        if (isOver && data.term >= term - 1) return receive(body, false);
        // A tab that goes on after it stood still may hear the new leader before it hears that it lost the lock.
        if (leader && data.term > term) depose();
        if (leader || data.term < term) return;
        heard(data.term);
        if (to === undefined || to === self) receive(body, false);
      }
    };
    // A frozen page hears other tabs and answers them, while its socket and its timers stand still: it may not lead.
    page?.document.addEventListener("freeze", () => {
      depose();
      turn.abort();
    }, { signal });
    page?.document.addEventListener("resume", depose, { signal });
    // The own lock first: the leader, once it has heard of this tab, waits for it.
    hold(lockOf(self), signal, () => {
      queue(false);
      void look();
    });
  }

  return {
    send,
    async close(code) {
      if (isClosed) return;
      isClosed = true;
      const stopped = leader?.stop(code);
      time.clearTimeout(timer);
      channel?.close();
      channel = undefined;
      // There is one connection at any time.
      if (!code) await stopped;
      leaving.abort();
      turn.abort();
      await stopped;
    },
  };
}
