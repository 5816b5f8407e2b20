/** What a device says of its person. */

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
