/**
 * What a device says of its person, and the one place that knows how today's frames put it: they carry `attended`, not how long
 * ago the last input was. When frames carry `idleMs`, only this file changes.
 */

/** What a device knows of its person. */
export interface Presence {
  readonly visible: boolean;
  /** How long ago the last input was, milliseconds; null: never any. */
  readonly idleMs: number | null;
}

/** Somebody is at the device: it is visible, and the last input was less than this ago. */
export const ATTENDED_MS = 120_000;
/** An ack within this time of the last input says at once that a person has dealt with the message. */
export const FRESH_MS = 30_000;

/** Input is told when what was told last is this old. */
export const TELL_INPUT_MS = 30_000;

/** Frames don't say when the last input was, so a device has to say when its person counts as gone. */
export const TELLS_WHEN_UNATTENDED = true;

/** The fields of hello and of state. */
export function presenceFields({ visible, idleMs }: Presence): { visible: boolean; attended: boolean } {
  return { visible, attended: visible && idleMs !== null && idleMs < ATTENDED_MS };
}

/** The fields that an ack has beside seen and cursors. */
export function ackFields(_: Presence): Record<never, never> {
  return {};
}
