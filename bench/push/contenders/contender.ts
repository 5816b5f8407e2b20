import type { Secrets } from "../secrets.ts";
import type { Sample } from "../service_process.ts";

/** What a contender is given. */
export interface Setting {
  port: number;
  /** The certificate authority of the service, PEM. */
  ca: string;
  secrets: Secrets;
  /** A request of Peyk's, for whoever sends the same bytes. */
  sample: Sample | undefined;
}

/** Sends the push of that number, and resolves when the service has taken it. Throws where it did not. */
export type Send = (index: number) => Promise<void>;

/** Sends pushes from that number on up to another one, as many at a time as it likes. */
export type SendMany = (from: number, to: number) => Promise<void>;

/** A way to send: one by one, with {@link UNDER_WAY} at a time, or with its own idea of many. */
export type Contender = (setting: Setting) => Promise<{ send: Send } | { sendMany: SendMany }>;

/** Pushes under way at a time. */
export const UNDER_WAY = 256;

export const TITLE = "Omid";
export const BODY = "See you at the old bridge at seven, bring the small camera and something warm to drink for all of us.";

/** Of 64 hexadecimal digits. */
export function apnsToken(index: number): string {
  return index.toString(16).padStart(64, "0");
}

/** As long as those that FCM gives. */
export function fcmToken(index: number): string {
  return `${"c".repeat(22)}:APA91b${index.toString(36).padStart(134, "x")}`;
}
