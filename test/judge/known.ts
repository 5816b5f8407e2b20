import type { Topic } from "../../src/protocol/names.ts";
import type { Presence } from "./presence.ts";
import type { Ending } from "./trace.ts";

export const ACK_TIMEOUT_MS = 3_000;
export const GRACE_MS = 15_000;
/** A page that is left or reloaded is awaited this long. */
export const PAGE_MS = 5_000;
/** After a node ended, its clients' way back may take this much longer than the grace. */
export const DRAIN_MS = 5_000;
/** What happens this close to a limit may be on either side of it. */
export const NEAR_MS = 100;

export type Certainty = "no" | "maybe" | "yes";

/** How far a device's app is in a topic. */
export interface Reading {
  epoch: number;
  /** Where it began. */
  from: number;
  acked: number;
  /** How it got there: what was acked when, and whether the app was in front then. */
  readonly acks: { through: number; at: number; visible: boolean }[];
  /** What the handler failed on, and over which connection it said so. */
  readonly failed: Map<number, number>;
}

/** A connection from its hello on. */
export interface Link {
  readonly id: number;
  readonly device: Device;
  welcomed: boolean;
  visible: boolean;
  hiddenAt: number;
  /** It asked to be signed out: what it acks from then on may come too late. */
  isLeaving: boolean;
  /** When the last input was that it told of. */
  lastInput: number | null;
  /** The messages it brought, in order, and when. */
  readonly brought: { key: string; at: number }[];
  seen: number;
  readonly cursors: Map<Topic, { epoch: number; offset: number }>;
}

/** Where a device can be pushed to, from its first token to the last one without a pause. */
export interface Lineage {
  beganMaybe: number;
  beganSurely: number;
  endedMaybe: number;
  endedSurely: number;
}

/** One token of a lineage. */
export interface Token {
  readonly device: Device;
  readonly lineage: Lineage;
  /** When it surely was not the device's any more. */
  endedSurely: number;
}

export interface Device {
  readonly user: string;
  readonly id: string;
  link: Link | undefined;
  /** Has said hello and waits. */
  opening: Link | undefined;
  /** Without a connection: until when it is awaited, and whether that is sure; `late` is the latest that it may be awaited. */
  gone: { at: number; until: number; late: number; sure: boolean; down: boolean };
  lineages: Lineage[];
  token: string | undefined;
  readings: Map<Topic, Reading>;
}

/** What a device is at a moment, and when a message that comes then is due. */
export interface Standing {
  kind: "live" | "wavering" | "suspect" | "backgrounded" | "recent" | "away" | "opening" | "down";
  early: number;
  late: number;
  link: Link | undefined;
}

export interface Subscription {
  beganMaybe: number;
  beganSurely: number;
  endedMaybe: number;
  endedSurely: number;
}

export interface User {
  readonly id: string;
  readonly devices: Map<string, Device>;
  readonly subscriptions: Map<Topic, Subscription>;
}

export function tell(link: Link, { visible, idleMs }: Presence, at: number): void {
  if (link.visible && !visible) link.hiddenAt = at;
  link.visible = visible;
  if (idleMs !== null) link.lastInput = Math.max(link.lastInput ?? -Infinity, at - idleMs);
}

export function begun(maybe: number, surely: number): Subscription {
  return { beganMaybe: maybe, beganSurely: surely, endedMaybe: Infinity, endedSurely: Infinity };
}

export function end(lineage: Lineage, at: number): void {
  lineage.endedMaybe = Math.min(lineage.endedMaybe, at);
  lineage.endedSurely = Math.min(lineage.endedSurely, at);
}

/**
 * A second subscribe, or another welcome, changes nothing about where reading began, unless it goes on further than the device
 * ever was: then it was signed out meanwhile.
 *
 * @param claimed how far the device said it was
 */
export function read(device: Device, topic: Topic, epoch: number, offset: number, recovered: boolean, claimed = 0): void {
  const known = device.readings.get(topic);
  const isSame = known?.epoch === epoch && recovered && offset <= Math.max(known.acked, claimed);
  if (isSame) known.acked = Math.max(known.acked, offset);
  else device.readings.set(topic, { epoch, from: offset, acked: offset, acks: [], failed: new Map() });
}

export function goneBy(ending: Ending, link: Link, at: number): Device["gone"] {
  const gone = (until: number, late: number, sure: boolean): Device["gone"] => ({ at, until, late, sure, down: false });
  switch (ending) {
    case "clean":
      return gone(at, at - NEAR_MS, true);
    case "page":
      if (link.visible || at - link.hiddenAt < 1_000 - NEAR_MS) return gone(at + PAGE_MS, at + PAGE_MS, true);
      return at - link.hiddenAt <= 1_000 + NEAR_MS ? gone(at + PAGE_MS, at + PAGE_MS, false) : gone(at, at - NEAR_MS, true);
    case "lost":
      return link.visible ? gone(at + GRACE_MS, at + GRACE_MS, true) : gone(at, at - NEAR_MS, true);
    case "node":
      return gone(at + GRACE_MS, at + GRACE_MS, false);
  }
}
