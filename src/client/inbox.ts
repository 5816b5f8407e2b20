import { openEnvelope } from "../protocol/codec.ts";
import { PeykError } from "../protocol/errors.ts";
import type { Cursor, EphemeralFrame, GapFrame, MessageFrame } from "../protocol/frames.ts";
import type { Message } from "../protocol/message.ts";
import { splitTopic, type Topic } from "../protocol/names.ts";
import type { Time } from "./environment.ts";
import { join, type ListenOptions } from "./listeners.ts";

/** How long a handler may take for one message, and how often it is tried. */
const HANDLE_WITHIN_MS = 30_000;
const TRIES = 3;
const TRY_AGAIN_MS = 1_000;
/** Entries of one topic that wait in this tab while another is done with them: more than the 2,000 that the engine sends ahead. */
const MAX_QUEUE = 2_100;

/** What became of a message at a handler. "left": the handler was taken away before it was done. */
export type Outcome = "done" | "left" | "threw" | "timeout";

/** Who wants messages. */
export interface Handler {
  /** Undefined: all channels. */
  readonly channel: string | undefined;
  readonly run: (message: Message<never>) => unknown;
  /** Told once, and waited for without an end: its promise gives the Outcome. */
  readonly patient: boolean;
}

interface TopicQueue {
  epoch: number;
  /** Queued, being handled or handled up to here. */
  taken: number;
  /** Handled up to here. */
  done: number;
  queue: MessageFrame[];
  running: boolean;
}

/** Whom the inbox tells. */
export interface InboxOptions {
  time: Time;
  /** The handlers are done with an entry, or gave up. */
  done(cursor: Cursor, failed: string | undefined): void;
  /** There are handlers for what nobody has handled yet: say it again. */
  wanted(): void;
  /** This tab fell too far behind and skips entries. */
  gap(frame: GapFrame): void;
  /** A handler failed for good with this message. */
  failed(error: PeykError, message: Message | undefined): void;
}

/** One tab's handlers: each message once to each of them, in the order of its topic, one at a time. */
export interface Inbox {
  add(handler: Handler, options?: ListenOptions): () => void;
  message(frame: MessageFrame): void;
  ephemeral(frame: EphemeralFrame): void;
  /** What is queued is not wanted any more; the topic may begin anew. */
  forget(topic: Topic): void;
  /** The same for all topics. */
  clear(): void;
  close(): void;
}

export function createInbox({ time, done, wanted, gap, failed }: InboxOptions): Inbox {
  const handlers = new Set<Handler>();
  const topics = new Map<Topic, TopicQueue>();
  const timers = new Set<unknown>();
  let asked = false;
  let closed = false;

  /** After the caller has returned: no handler runs inside `onMessage`. */
  function ask(): void {
    if (asked) return;
    asked = true;
    queueMicrotask(() => {
      asked = false;
      if (!closed) wanted();
    });
  }

  function handlersOf(topic: Topic): Handler[] {
    const [, channel] = topic.split("/");
    return [...handlers].filter((handler) => handler.channel === undefined || handler.channel === channel);
  }

  function pump(queue: TopicQueue): void {
    while (!closed && !queue.running && queue.queue.length > 0) {
      const frame = queue.queue[0]!;
      queue.running = true;
      const outcome = handle(handlersOf(frame.topic), frame);
      if (typeof outcome === "string") finish(queue, frame, outcome);
      else outcome.then((outcome) => (finish(queue, frame, outcome), pump(queue)));
    }
  }

  function finish(queue: TopicQueue, frame: MessageFrame, outcome: Outcome): void {
    queue.running = false;
    const { topic, epoch, offset } = frame;
    if (closed || topics.get(topic) !== queue) return;
    if (outcome === "left") return giveBack(queue);
    queue.queue.shift();
    if (epoch === queue.epoch) queue.done = offset;
    done({ topic, epoch, offset }, outcome === "done" ? undefined : outcome);
  }

  /** Nobody here handles it: it counts as never taken, and comes again for the next handler. */
  function giveBack(queue: TopicQueue): void {
    queue.queue = [];
    queue.taken = queue.done;
    if (handlers.size > 0) ask();
  }

  /** At once, without a promise, when all handlers are: the usual case, and the ack is then one with the proof of life. */
  function handle(now: Handler[], frame: MessageFrame): Outcome | Promise<Outcome> {
    const message = read(frame);
    if (!message) return "threw";
    const outcomes = now.map((handler) => run(handler, message));
    return outcomes.every((outcome) => typeof outcome === "string") ? worst(outcomes) : Promise.all(outcomes).then(worst);
  }

  function run(handler: Handler, message: Message): Outcome | Promise<Outcome> {
    const first = call(handler, message);
    return first === undefined ? "done" : insist(handler, message, first);
  }

  /** Undefined, or a promise that settles as the handler does. */
  function call(handler: Handler, message: Message): Promise<unknown> | undefined {
    try {
      const result = handler.run(message as Message<never>) as PromiseLike<unknown> | undefined;
      return typeof result?.then === "function" ? Promise.resolve(result) : undefined;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async function insist(handler: Handler, message: Message, first: Promise<unknown>): Promise<Outcome> {
    let result: Promise<unknown> | undefined = first;
    for (let tries = 1;; tries++) {
      try {
        if (handler.patient) return await result as Outcome;
        await within(result);
        return "done";
      } catch (error) {
        if (!handlers.has(handler)) return "left";
        if (tries === TRIES) {
          failed(failure(error), message);
          return error === LATE ? "timeout" : "threw";
        }
      }
      await new Promise<void>((resolve) => later(resolve, TRY_AGAIN_MS * tries));
      result = call(handler, message);
    }
  }

  function within(result: Promise<unknown> | undefined): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const timer = later(() => reject(LATE), HANDLE_WITHIN_MS);
      const settle = () => (time.clearTimeout(timer), timers.delete(timer));
      Promise.resolve(result).then(resolve, reject).then(settle);
    });
  }

  function later(task: () => void, ms: number): unknown {
    const timer = time.setTimeout(() => {
      timers.delete(timer);
      task();
    }, ms);
    timers.add(timer);
    return timer;
  }

  function forget(topic: Topic): void {
    const queue = topics.get(topic);
    if (queue) queue.queue = [];
    topics.delete(topic);
  }

  function read(frame: MessageFrame | EphemeralFrame): Message | undefined {
    try {
      return messageOf(frame);
    } catch (cause) {
      failed(new PeykError("bad-message", "a message that can't be read", { cause }), undefined);
      return undefined;
    }
  }

  return {
    add(handler, options) {
      const leave = join(handlers, handler, options);
      ask();
      return leave;
    },
    message(frame) {
      const { topic, epoch, offset } = frame;
      const queue = topics.get(topic) ?? { epoch, taken: 0, done: 0, queue: [], running: false };
      topics.set(topic, queue);
      // The log began anew. What is queued of the old one is still good.
      if (queue.epoch !== epoch) Object.assign(queue, { epoch, taken: 0, done: 0 });
      if (offset <= queue.done) return done({ topic, epoch, offset }, undefined); // A new leader does not know.
      if (offset <= queue.taken || handlersOf(topic).length === 0) return;
      queue.taken = offset;
      queue.queue.push(frame);
      if (queue.queue.length > MAX_QUEUE) {
        // The first is being handled. The others are done with elsewhere, else their number were bounded there.
        const [skipped] = queue.queue.splice(1, 1);
        gap({ type: "gap", topic, epoch, offset: skipped!.offset });
      }
      pump(queue);
    },
    ephemeral(frame) {
      const now = handlersOf(frame.topic);
      const message = now.length > 0 ? read(frame) : undefined;
      if (!message) return;
      for (const handler of now) call(handler, message)?.catch((error) => failed(failure(error), message));
    },
    forget,
    clear() {
      for (const topic of topics.keys()) forget(topic);
    },
    close() {
      closed = true;
      for (const timer of timers) time.clearTimeout(timer);
      handlers.clear();
      topics.clear();
    },
  };
}

const LATE = new PeykError("timeout", "a message handler took too long", { hint: "It has 30 s." });

function failure(error: unknown): PeykError {
  return error === LATE ? LATE : new PeykError("internal", "a message handler threw", { cause: error });
}

/** Failed at one handler is failed; else done at one is done. With no handler it is left. */
function worst(outcomes: (Outcome | Promise<Outcome>)[]): Outcome {
  return (["threw", "timeout", "done"] as const).find((outcome) => outcomes.includes(outcome)) ?? "left";
}

function messageOf(frame: MessageFrame | EphemeralFrame): Message {
  const { options, expiresAt: _, ...rest } = openEnvelope(frame.envelope);
  const position = frame.type === "message" ? { epoch: frame.epoch, offset: frame.offset } : undefined;
  return { ...options, ...splitTopic(frame.topic), ...rest, topic: frame.topic, position };
}
