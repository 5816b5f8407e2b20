import type { Device } from "./device.ts";
import type { Stage } from "./node.ts";

/** A user whose devices stay as they are, but for what the node does: no event of the walk touches them. */
export class SteadyUser {
  readonly user: string;
  /** Away, with a target. */
  readonly phone: Device;
  /** Open in the background, with a target. */
  readonly tablet: Device;
  protected readonly stage: Stage;

  constructor(stage: Stage, user: string, provider: "healthy" | "load") {
    this.stage = stage;
    this.user = user;
    this.phone = stage.device(user, `${user}'s phone`, provider);
    this.tablet = stage.device(user, `${user}'s tablet`, provider);
  }

  get devices(): readonly Device[] {
    return [this.phone, this.tablet];
  }

  /** Brings all devices to where they stay. */
  async begin(): Promise<void> {
    const { clock, node } = this.stage;
    for (const device of this.devices) device.open(node!, false);
    await clock.advance(200);
    for (const device of [this.phone, this.tablet]) device.register(`${device.id} token`);
    await clock.advance(200);
    for (const device of this.devices) if (!this.stays(device)) device.close("clean");
    await clock.advance(200);
  }

  /** Connections that ended with a node, or were refused, come back. */
  keep(): void {
    const { node } = this.stage;
    if (node === undefined) return;
    for (const device of this.devices) if (!device.isOpen && this.stays(device)) this.returns(device);
  }

  protected stays(device: Device): boolean {
    return device === this.tablet;
  }

  protected returns(device: Device): void {
    device.open(this.stage.node!, device !== this.tablet);
  }
}
