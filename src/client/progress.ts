import type {
  AdvanceFrame,
  ClientFrame,
  Cursor,
  EphemeralFrame,
  GapFrame,
  IdleMs,
  MessageFrame,
  WelcomeFrame,
} from "../protocol/frames.ts";
import type { Topic } from "../protocol/names.ts";
import type { DeviceStore } from "./device_store.ts";
import type { Time } from "./environment.ts";
import { pageOf } from "./pages.ts";

/** Frames that make an ack due at once. */
const ACK_EVERY = 512;
/** The most that an ack takes beside its cursors, bytes. */
const ACK_HEAD_BYTES = 32;

interface TopicProgress {
  epoch: number;
  /** Handlers are done up to here. */
  acked: number;
  /** The connection brought everything up to here. */
  received: number;
  /** Received, and no tab's handler is done with it. */
  readonly pending: MessageFrame[];
}

/** Whom the progress tells. */
export interface ProgressOptions {
  time: Time;
  store: DeviceStore;
  send(frame: ClientFrame): boolean;
  /** For an ack that is written now. */
  idleMs(): IdleMs;
  /** An entry or ephemeral message that no handler of this device has seen. */
  deliver(frame: MessageFrame | EphemeralFrame): void;
  /** Entries up to there are gone. */
  gap(frame: GapFrame): void;
  /** An entry is missing: come again, and read it from the log. */
  resync(): void;
}

/** How far this device is, and telling the engine so. */
export interface Progress {
  welcome(frame: WelcomeFrame): void;
  take(frame: MessageFrame | EphemeralFrame | AdvanceFrame | GapFrame): void;
  reads(topic: Topic): boolean;
  /** Reads the topic from there on, wherever it was. */
  place(cursor: Cursor): void;
  forget(topic: Topic): void;
  /** A tab's handlers are done with this entry and those before it. `failed`: they gave up on it. */
  done(cursor: Cursor, failed: string | undefined): void;
  /** What no tab is done with. */
  pending(): MessageFrame[];
  /** All frames of one WebSocket message are in: the moment to ack. */
  settled(): void;
  /** Acks now, whether or not there is something new. */
  ack(): void;
  /** Acks all that is new. */
  flush(): void;
  disconnected(): void;
}

export function createProgress({ time, store, send, idleMs, deliver, gap, resync }: ProgressOptions): Progress {
  const topics = new Map<Topic, TopicProgress>();
  const moved = new Map<Topic, Cursor>();
  let seen = 0;
  let seenTold = 0;
  /** Entries in all `pending`. */
  let waiting = 0;
  let waitingTold = 0;
  /** An entry came, and one before it did not. */
  let missed = false;
  let frameBytes = 0;
  let ackMs = 0;
  let ackedAt = 0;
  let timer: unknown;
  /** Between the first frame of a WebSocket message and `settled`: what handlers finish meanwhile goes into one ack. */
  let inBatch = false;
  let isConnected = false;

  function place({ topic, epoch, offset }: Cursor, acked = offset): TopicProgress {
    const progress = { epoch, acked, received: offset, pending: [] };
    waiting -= topics.get(topic)?.pending.length ?? 0;
    topics.set(topic, progress);
    moved.delete(topic);
    store.move({ topic, epoch, offset: acked });
    return progress;
  }

  /** The cursor follows what was stepped over as soon as nothing before it waits. */
  function settle(topic: Topic, progress: TopicProgress, offset: number): void {
    const { pending, received } = progress;
    const acked = Math.max(progress.acked, offset, pending.length > 0 ? 0 : received);
    if (acked === progress.acked) return;
    progress.acked = acked;
    const cursor = { topic, epoch: progress.epoch, offset: acked };
    store.move(cursor);
    // An entry of an earlier connection comes again on this one, and is acked then: the engine knows no ack of the unsent.
    if (acked <= received) moved.set(topic, cursor);
    plan();
  }

  function keep(frame: MessageFrame): void {
    const { topic, epoch, offset, previous } = frame;
    let progress = topics.get(topic);
    if (progress?.epoch !== epoch) {
      // 0: the log's beginning, before it had one, is in every life of it.
      const known = progress?.epoch;
      progress = place({ topic, epoch, offset: previous });
      if (known) gap({ type: "gap", topic, epoch, offset: previous });
    }
    if (offset <= progress.received) return;
    if (previous > progress.received) {
      missed = true;
      return;
    }
    progress.received = offset;
    if (offset <= progress.acked) return void moved.set(topic, { topic, epoch, offset });
    progress.pending.push(frame);
    waiting++;
    deliver(frame);
  }

  function skip({ topic, epoch, offset }: Cursor): void {
    const progress = topics.get(topic);
    if (progress?.epoch !== epoch) return void place({ topic, epoch, offset });
    progress.received = Math.max(progress.received, offset);
    settle(topic, progress, 0);
  }

  function isNew(): boolean {
    return isConnected && (seen !== seenTold || moved.size > 0 || waiting < waitingTold);
  }

  /** At once after a quiet spell; then at most every `ackMs` or 512 frames. */
  function plan(): void {
    if (inBatch || !isNew()) return;
    const left = ackedAt + ackMs - time.elapsed();
    if (left <= 0 || seen - seenTold >= ACK_EVERY) ack();
    else timer ??= time.setTimeout(ack, left);
  }

  function ack(): void {
    time.clearTimeout(timer);
    timer = undefined;
    const cursors = pageOf([...moved.values()], frameBytes - ACK_HEAD_BYTES);
    // The connection may have ended before anybody says so.
    isConnected = send({ type: "ack", seen, cursors, idleMs: idleMs(), waiting });
    if (!isConnected) return;
    for (const { topic } of cursors) moved.delete(topic);
    seenTold = seen;
    waitingTold = waiting;
    ackedAt = time.elapsed();
    if (moved.size > 0) plan();
  }

  return {
    welcome(frame) {
      isConnected = true;
      seen = waiting = 0;
      seenTold = waitingTold = 0;
      missed = false;
      frameBytes = frame.limits.frameBytes;
      ackMs = frame.ackMs;
      ackedAt = -Infinity;
      moved.clear();
      topics.clear();
      const listed = new Set(frame.recovery.map(({ topic }) => topic));
      for (const { topic } of store.cursors()) if (!listed.has(topic)) store.forget(topic);
      for (const { recovered, ...at } of frame.recovery) {
        const kept = store.cursor(at.topic);
        place(at, kept?.epoch === at.epoch ? Math.max(kept.offset, at.offset) : at.offset);
        if (!recovered) gap({ type: "gap", ...at });
      }
    },
    take(frame) {
      inBatch = true;
      if (frame.type === "advance" || frame.type === "gap") skip(frame);
      else seen++;
      if (frame.type === "message") keep(frame);
      if (frame.type === "ephemeral") deliver(frame);
      if (frame.type === "gap") gap(frame);
    },
    reads: (topic) => topics.has(topic),
    place,
    forget(topic) {
      waiting -= topics.get(topic)?.pending.length ?? 0;
      topics.delete(topic);
      moved.delete(topic);
      store.forget(topic);
      plan();
    },
    done({ topic, epoch, offset }, failed) {
      const progress = topics.get(topic);
      if (progress?.epoch !== epoch || offset <= progress.acked) return;
      if (failed !== undefined && offset <= progress.received) send({ type: "failed", topic, epoch, offset, reason: failed });
      const { pending } = progress;
      for (; pending.length > 0 && pending[0]!.offset <= offset; waiting--) pending.shift();
      settle(topic, progress, offset);
    },
    pending: () => [...topics.values()].flatMap(({ pending }) => pending),
    settled() {
      inBatch = false;
      plan();
      if (missed) resync();
    },
    ack,
    flush() {
      while (isNew()) ack();
    },
    disconnected() {
      isConnected = false;
      time.clearTimeout(timer);
      timer = undefined;
    },
  };
}
