import type { Device } from "./device.ts";
import type { Stage } from "./node.ts";
import { Operations } from "./operations.ts";
import { SteadyUser } from "./steady.ts";
import type { OperationKind } from "./trace.ts";

/** Between two operations, and after a device came back. */
const REST_MS = 2_000;
/** An operation that has not ended by then is not waited for. */
const LOST_MS = 60_000;
/** No more messages than that within a minute: what a target gets more often may be paced. */
const MESSAGES_PER_MINUTE = 4;
const MINUTE_MS = 60_000;
/** How long a device that signs in stays. */
const STAY_MS = 300;

/** A user who does one thing at a time, rarely, and whom no event of the walk touches: whatever takes long is the others' doing. */
export class IdleUser extends SteadyUser {
  /** In front, where nobody ever touches it: it holds no push back. */
  readonly laptop: Device;
  /** Signs in and leaves again. */
  readonly watch: Device;
  readonly operations = new Operations();
  #followed = 0;
  #restsFrom = 0;
  #sentAt: number[] = [];
  #messages = 0;

  constructor(stage: Stage) {
    super(stage, "nima", "healthy");
    this.laptop = stage.device("nima", "nima's laptop", "healthy");
    this.watch = stage.device("nima", "nima's watch", "healthy");
  }

  override get devices(): readonly Device[] {
    return [this.phone, this.tablet, this.laptop, this.watch];
  }

  override async begin(): Promise<void> {
    await super.begin();
    this.laptop.show(true);
  }

  /** @returns whether it began: nothing of this user's may be under way */
  signIn(): boolean {
    if (!this.#isAtRest()) return false;
    const { clock, node } = this.stage;
    this.#note("welcome", this.watch, undefined);
    this.watch.open(node!, true);
    this.#leaveSoon();
    this.#restsFrom = clock.elapsed() + REST_MS;
    return true;
  }

  /** @returns whether it began: nothing of this user's may be under way */
  receive(): boolean {
    const { clock, node } = this.stage;
    const now = clock.elapsed();
    this.#sentAt = this.#sentAt.filter((at) => at > now - MINUTE_MS);
    if (this.#sentAt.length >= MESSAGES_PER_MINUTE || !this.#isAtRest()) return false;
    this.#sentAt.push(now);
    const id = `n${++this.#messages}`;
    this.#note("frame", this.laptop, id);
    this.#note("push, away", this.phone, id);
    this.#note("push, background", this.tablet, id);
    node!.engine.publish({ to: "nima", id, content: id }).catch(() => {});
    this.#restsFrom = now + REST_MS;
    return true;
  }

  /** Whether nothing that it began is under way. */
  isDone(): boolean {
    const { lines } = this.stage.trace;
    const now = this.stage.clock.elapsed();
    for (; this.#followed < lines.length; this.#followed++) {
      const line = lines[this.#followed]!;
      this.operations.follow(line);
      if (line.what === "closed" && line.user === this.user) this.#restsFrom = Math.max(this.#restsFrom, line.at + REST_MS);
    }
    for (const operation of this.operations.open) if (operation.begin < now - LOST_MS) this.operations.open.delete(operation);
    return this.operations.open.size === 0;
  }

  protected override stays(device: Device): boolean {
    return device === this.tablet || device === this.laptop;
  }

  protected override returns(device: Device): void {
    super.returns(device);
    this.#restsFrom = this.stage.clock.elapsed() + REST_MS;
  }

  #isAtRest(): boolean {
    const { clock, node } = this.stage;
    if (node === undefined || !this.isDone() || clock.elapsed() < this.#restsFrom) return false;
    return this.laptop.isWelcome && this.tablet.isWelcome && !this.watch.isOpen;
  }

  /** Once it was welcomed. */
  #leaveSoon(): void {
    const { clock } = this.stage;
    clock.setTimeout(() => {
      if (!this.watch.isOpen) return;
      if (this.watch.isWelcome) this.watch.close("clean");
      else this.#leaveSoon();
    }, STAY_MS);
  }

  #note(kind: OperationKind, { id: device, user }: Device, id: string | undefined): void {
    this.stage.trace.note({ what: "operation", kind, user, device, id });
  }
}
