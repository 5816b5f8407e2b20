import type { ClientFrame } from "../../src/protocol/frames.ts";
import type { Topic } from "../../src/protocol/names.ts";
import { begun, type Device, end, type Lineage, type Token, type User } from "./known.ts";

/** A request that waits for its answer. */
export interface Pending {
  readonly frame: ClientFrame;
  readonly device: Device;
  lineage?: Lineage | undefined;
  /** The token that was there before. */
  before?: string | undefined;
}

/**
 * A subscription or a sign-out was asked for, or answered.
 * @param ok undefined: it was asked for
 */
export function change(at: number, name: string, user: User, topic: Topic | undefined, ok: boolean | undefined): void {
  const subscription = topic === undefined ? undefined : user.subscriptions.get(topic);
  if (name === "revoke") {
    if (ok === false) return;
    for (const device of user.devices.values()) {
      if (ok === true) signOut(device, at);
      else for (const lineage of device.lineages) lineage.endedMaybe = Math.min(lineage.endedMaybe, at);
    }
  } else if (name === "subscribe") {
    if (ok === true) return begin(user, topic!, at);
    if (ok === undefined && (subscription === undefined || subscription.endedMaybe <= at)) {
      user.subscriptions.set(topic!, begun(at, Infinity));
    }
    // One that failed may have been stored all the same.
  } else if (subscription !== undefined) {
    if (ok === undefined) subscription.endedMaybe = Math.min(subscription.endedMaybe, at);
    else if (ok) {
      // One that was asked for meanwhile may have come behind it.
      if (subscription.beganSurely < Infinity) subscription.endedSurely = Math.min(subscription.endedSurely, at);
      for (const { readings } of user.devices.values()) readings.delete(topic!);
    }
  }
}

/** The user is surely subscribed from here on. */
export function begin(user: User, topic: Topic, at: number): void {
  const subscription = user.subscriptions.get(topic);
  if (subscription === undefined || subscription.endedSurely <= at) user.subscriptions.set(topic, begun(at, at));
  else subscription.beganSurely = Math.min(subscription.beganSurely, at);
}

export function askTarget(tokens: Map<string, Token>, token: string | null, pending: Pending, at: number): void {
  const { device } = pending;
  const current = device.lineages.at(-1);
  const isAlive = current !== undefined && current.endedMaybe === Infinity;
  pending.before = device.token;
  if (token === null) {
    if (isAlive) current.endedMaybe = at;
    pending.lineage = current;
    return;
  }
  const lineage = isAlive ? current : { beganMaybe: at, beganSurely: Infinity, endedMaybe: Infinity, endedSurely: Infinity };
  if (!isAlive) device.lineages.push(lineage);
  pending.lineage = lineage;
  device.token = token;
  const known = tokens.get(token);
  if (known?.lineage !== lineage) tokens.set(token, { device, lineage, endedSurely: Infinity });
  else known.endedSurely = Infinity;
}

export function answerTarget(
  tokens: Map<string, Token>,
  token: string | null,
  { before, device, lineage }: Pending,
  at: number,
  ok: boolean,
): void {
  if (lineage === undefined || !ok) return;
  if (token === null) {
    lineage.endedSurely = Math.min(lineage.endedSurely, at);
    return;
  }
  lineage.beganSurely = Math.min(lineage.beganSurely, at);
  const former = before === undefined || before === token ? undefined : tokens.get(before);
  if (former !== undefined) former.endedSurely = Math.min(former.endedSurely, at);
  if (device.token === token) tokens.get(token)!.endedSurely = Infinity;
}

export function signOut(device: Device, at: number): void {
  for (const lineage of device.lineages) end(lineage, at);
  device.readings = new Map();
  device.token = undefined;
}
