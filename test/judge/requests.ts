import { isPublic } from "../../src/protocol/names.ts";
import type { Device } from "./known.ts";
import type { Answered, Appended, Asked } from "./trace.ts";

/** A provider that says "not now" without saying until when is asked again within this. */
const BACKOFF_MS = 61_000;
/** A request without an answer is given up after this. */
export const HANG_MS = 30_000;
/** A request that covers the message: its own, or one that it left together with. */
export interface Request {
  readonly ask: Asked;
  readonly at: number;
  readonly joined: boolean;
  answer: (Answered & { at: number }) | undefined;
}

/** Until when the target rests after it. */
export function restEnd({ at, answer }: Request): number {
  if (answer === undefined) return at + HANG_MS + BACKOFF_MS;
  if (answer.verdict === "sent" || answer.verdict === "rejected" || answer.verdict === "gone") return answer.at;
  return answer.at + Math.max(1_000, answer.afterMs ?? BACKOFF_MS);
}

/** Whether a message may be pushed to one of its user's devices at all, as far as its sender goes. */
export function isOwn(entry: Appended, device: Device, publishers: ReadonlyMap<string, string>): boolean {
  if (entry.from !== device.user) return false;
  return isPublic(entry.topic) || publishers.get(`${entry.from}\n${entry.topic}\n${entry.id}`) === device.id;
}

export function isLow({ urgency }: Appended): boolean {
  return urgency === "low" || urgency === "very-low";
}
