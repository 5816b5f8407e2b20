import type { Clock } from "../../src/ports/clock.ts";
import { encodePayload } from "../../src/protocol/codec.ts";
import type { ClientFrame, Cursor } from "../../src/protocol/frames.ts";
import type { MessageOptions } from "../../src/protocol/message.ts";
import type { Topic } from "../../src/protocol/names.ts";
import { Connection } from "./connection.ts";
import type { Node } from "./node.ts";
import type { Presence } from "./presence.ts";
import type { Ending, Trace } from "./trace.ts";

/** What becomes of a message at a device. */
export interface Habit {
  /** The socket is open, but nothing leaves it. */
  mute: boolean;
  /** How long the app's handler takes; Infinity: it hangs. */
  handlerMs: number;
  /** The handler fails on what comes. */
  fails: boolean;
}

/** What devices have in common. */
export interface DeviceWorld {
  readonly clock: Clock;
  readonly trace: Trace;
  /** Counts connections. */
  nextConnection(): number;
}

/**
 * A device with a well-behaved client: it acks what is handled before it says that its presence changed, tells of an input when
 * what it told last is old, and claims the positions it has handled when it comes back.
 */
export class Device {
  readonly user: string;
  readonly id: string;
  /** The provider that its token is of. */
  readonly provider: string;
  readonly habit: Habit = { mute: false, handlerMs: 0, fails: false };
  visible = true;
  lastInput: number | null = null;
  /** Signed in: it has a session, open or not. */
  isSignedIn = false;
  /** What the app was handed, in order, since it signed in. */
  shown: { topic: Topic; epoch: number; offset: number }[] = [];
  /** Where reading began, by topic. */
  began = new Map<Topic, { epoch: number; offset: number }>();
  /** Entries missing, repeated or out of order, as a client sees it. */
  readonly faults: string[] = [];
  /** Entries that the server passed over without a word. */
  readonly skipped: { topic: Topic; after: number; through: number }[] = [];
  token: string | undefined;
  readonly #world: DeviceWorld;
  /** Positions that are handled. */
  #cursors = new Map<Topic, Cursor>();
  #connection: Connection | undefined;

  constructor(world: DeviceWorld, user: string, id: string, provider: string) {
    this.#world = world;
    this.user = user;
    this.id = id;
    this.provider = provider;
  }

  get isOpen(): boolean {
    return this.#connection !== undefined;
  }

  /** Its connection has its session. */
  get isWelcome(): boolean {
    return this.#connection?.welcomed === true;
  }

  get presence(): Presence {
    return { visible: this.visible, idleMs: this.lastInput === null ? null : this.#world.clock.elapsed() - this.lastInput };
  }

  get handled(): ReadonlyMap<Topic, Cursor> {
    return this.#cursors;
  }

  open(node: Node, visible: boolean): void {
    this.#connection?.give("lost");
    this.isSignedIn = true;
    this.visible = visible;
    this.habit.mute = false;
    this.#connection = new Connection(this, this.#world, node, [...this.#cursors.values()]);
  }

  /** @param ending how the device leaves */
  close(ending: Exclude<Ending, "node">): void {
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.give(ending);
  }

  input(): void {
    const { clock, trace } = this.#world;
    this.lastInput = clock.elapsed();
    trace.note({ what: "input", user: this.user, device: this.id });
    this.#connection?.touched();
  }

  show(visible: boolean): void {
    if (this.visible === visible) return;
    this.#connection?.flush();
    this.visible = visible;
    this.#connection?.tellPresence();
  }

  /** The handler that hangs gets done. */
  release(): void {
    this.habit.handlerMs = 0;
    this.#connection?.release();
  }

  /** What waited in a mute socket leaves. */
  wake(): void {
    if (!this.habit.mute) return;
    this.habit.mute = false;
    this.#connection?.catchUp();
  }

  request(frame: Extract<ClientFrame, { ref: number }>): void {
    this.#connection?.request(frame);
  }

  publish(topic: Topic, id: string, options: MessageOptions | null): void {
    this.request({ type: "publish", ref: 0, topic, id, options, payload: encodePayload(id, undefined) });
  }

  /** @param moment the message is marked; by default the last one that was shown */
  mark(
    kind: "read" | "dismissed",
    { topic, epoch, offset }: { topic: Topic; epoch: number; offset: number },
  ): void {
    this.request({ type: "mark", ref: 0, kind, topic, epoch, offset });
  }

  register(token: string | null): void {
    if (this.#connection?.welcomed !== true) return;
    this.token = token ?? undefined;
    this.request({ type: "target", ref: 0, provider: this.provider, token, details: null });
  }

  logout(): void {
    this.request({ type: "logout", ref: 0 });
  }

  /** The app forgets everything of its user. */
  forget(): void {
    this.isSignedIn = false;
    this.token = undefined;
    this.#cursors = new Map();
    this.shown = [];
    this.began = new Map();
  }

  /** The handler is through with this one. */
  handle(cursor: Cursor, connection: Connection): void {
    const at = this.#cursors.get(cursor.topic);
    if (at !== undefined && at.epoch === cursor.epoch && cursor.offset <= at.offset) return;
    this.#cursors.set(cursor.topic, cursor);
    this.shown.push(cursor);
    connection.handled(cursor, this.habit.fails);
  }

  /** Whether the app has it: then what comes again is only acked again. */
  has({ topic, epoch, offset }: Cursor): boolean {
    const at = this.#cursors.get(topic);
    return at?.epoch === epoch && offset <= at.offset;
  }

  /** Where a topic goes on, as the server says. */
  place(topic: Topic, epoch: number, offset: number, recovered: boolean): void {
    const at = this.#cursors.get(topic) ?? this.began.get(topic);
    if (at === undefined) this.began.set(topic, { epoch, offset });
    else if (!recovered || at.epoch !== epoch) this.faults.push(`a hole in ${topic} at ${offset}`);
    // The log was left and joined again, or what lies between is kept from the device.
    else if (offset > at.offset) this.skipped.push({ topic, after: at.offset, through: offset });
  }

  left(topic: Topic): void {
    this.began.delete(topic);
    this.#cursors.delete(topic);
    this.shown = this.shown.filter((each) => each.topic !== topic);
  }

  lost(connection: Connection): void {
    if (this.#connection === connection) this.#connection = undefined;
  }
}
