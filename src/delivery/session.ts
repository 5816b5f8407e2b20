import { fingerprint } from "../protocol/fingerprint.ts";
import type { Timer } from "../ports/clock.ts";
import type { StateId } from "../session/step.ts";
import type { DeviceName } from "./journal.ts";
import type { Outlet } from "./outlet.ts";
import type { Reader } from "./reader.ts";
import { MAX_UNSEEN, type Sending, Unseen } from "./unseen.ts";

/** A session that this node holds: connected, backgrounded or recent. Away sessions are records in the store only. */
export class Session implements DeviceName {
  readonly userId: string;
  readonly deviceId: string;
  readonly device: string;
  generation: number;
  state: StateId;
  /** The connection, while there is one. */
  outlet: Outlet | undefined = undefined;
  /** One per subscribed topic. */
  readers: Reader[] = [];
  unseen: Unseen = new Unseen();
  /** Of what is unseen: what the engine has queued a push for. Absent most of the time. */
  pushed: Set<Sending> | undefined = undefined;
  /** When the client last confirmed something, or began to owe it. Monotonic milliseconds. */
  progressAt = 0;
  graceTimer: Timer | undefined = undefined;
  overdueTimer: Timer | undefined = undefined;

  constructor(userId: string, deviceId: string, generation: number, state: StateId) {
    this.userId = userId;
    this.deviceId = deviceId;
    this.device = deviceName(deviceId);
    this.generation = generation;
    this.state = state;
  }

  /** Whether one more entry may be written now. */
  get takes(): boolean {
    return this.outlet !== undefined && !this.outlet.full && this.unseen.count < MAX_UNSEEN;
  }

  reader(topic: string): Reader | undefined {
    for (const reader of this.readers) if (reader.feed.topic === topic) return reader;
    return undefined;
  }
}

/** The short name that stands for a device wherever somebody might read along: a deviceId is a secret. */
export function deviceName(deviceId: string): string {
  return fingerprint(deviceId);
}
