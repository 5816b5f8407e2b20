import { howHandled } from "../reading/handled.ts";
import { progressIn } from "../delivery/records.ts";
import type { PushFacts } from "../delivery/journal.ts";
import { deviceName } from "../delivery/session.ts";
import type { NewOutboxRow } from "../ports/outbox.ts";
import type { Unsure, UserRecord } from "../ports/users.ts";
import type { Position } from "../protocol/message.ts";
import type { Topic } from "../protocol/names.ts";

/** Why a device needs no push of an entry: what a person did with it, or the device itself. */
export type Done = "read" | "dismissed" | "handled" | "shown" | "seen";

/** What a user's record says about an entry: whether one of the devices needs no push of it. Undefined: it needs one. */
export function whyDone(record: UserRecord, deviceId: string, topic: Topic, position: Position): Done | undefined {
  const progress = progressIn(record, deviceId)[topic];
  if (progress?.epoch === position.epoch && progress.shown >= position.offset) return "shown";
  return howHandled(record.positions.handled[topic], position);
}

/** What is not known yet, longest: a person may have dealt with the entry at another device. */
export function unsureOf(record: UserRecord, topic: Topic, { epoch, offset }: Position): Unsure | undefined {
  const handled = record.positions.handled[topic];
  let longest: Unsure | undefined;
  for (const unsure of handled?.epoch === epoch ? handled.unsure ?? [] : []) {
    if (offset <= unsure.after || offset > unsure.to || unsure.until < (longest?.until ?? 0)) continue;
    const session = record.sessions.find(({ deviceId }) => deviceName(deviceId) === unsure.device);
    // What its handler failed on was not dealt with there; at a device that was signed out there is no input any more.
    if (session !== undefined && !progressIn(record, session.deviceId)[topic]?.failed?.includes(offset)) longest = unsure;
  }
  return longest;
}

/** What is told of a push that is made: that it leaves, and by which rule, or what it waits for. */
export function queuedNote(
  { dueAt, provider, rule, urgency }: Pick<NewOutboxRow, "dueAt" | "provider" | "rule" | "urgency">,
  now: number,
): PushFacts & { kind: "push-queued" | "push-held"; detail: string } {
  const until = dueAt > now ? dueAt : undefined;
  const isLow = urgency === "low" || urgency === "very-low";
  const isHeld = !isLow && until !== undefined;
  return isHeld
    ? { kind: "push-held", detail: "the person is at another device", provider, until }
    : { kind: "push-queued", detail: rule, provider, until };
}

/** Why a push is dropped, as a person would say it: "read on another device, 4 s before it was due". */
export function dropWords(
  done: Done,
  row: Pick<NewOutboxRow, "deviceId" | "dueAt">,
  by: string | undefined,
  now: number,
): string {
  const where = done === "shown" || done === "seen" || by === row.deviceId ? "this" : "another";
  const left = Math.ceil((row.dueAt - now) / 1_000);
  return `${WORDS[done]} on ${where} device${left > 0 ? `, ${left} s before it was due` : ""}`;
}

const WORDS = {
  read: "read",
  dismissed: "dismissed",
  handled: "dealt with",
  shown: "shown",
  seen: "seen",
} as const satisfies Record<Done, string>;
