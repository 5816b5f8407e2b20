import type { OpenedEntry } from "../delivery/opened_entry.ts";
import { decodeEnvelope, decodePayload } from "../protocol/codec.ts";
import { fingerprint } from "../protocol/fingerprint.ts";
import type { Notification } from "../protocol/message.ts";
import type { OutboxRow } from "../ports/outbox.ts";
import type { PushNotification } from "../ports/push_provider.ts";

/**
 * What a push says about a message. Only here is a payload opened.
 *
 * @param entry the message, of several the newest
 * @param waiting how many messages the push stands for
 * @param words what stands in for fields of its notification; "none": nothing of the message is said
 */
export function compose(
  row: OutboxRow,
  { bytes, position }: OpenedEntry,
  waiting: number,
  now: number,
  words: Notification | "none" | undefined,
): PushNotification {
  const { id, options, payload } = decodeEnvelope(bytes);
  const silent = options?.silent === true;
  const { native, ...alert }: Notification = words === "none" ? {} : { ...options?.notification, ...words };
  if (options?.useAsAlert === true && words !== "none") {
    const { content } = decodePayload(payload);
    if (content !== undefined) alert.body ??= content;
  }
  return {
    userId: row.userId,
    id,
    topic: row.topic,
    position,
    // The same on every try and for every target: providers collapse per target.
    collapseId: fingerprint(`${row.topic}\n${row.position.epoch}.${row.position.offset}`),
    alert: silent ? undefined : alert,
    ...native?.[row.provider] && { native: native[row.provider]! },
    silent,
    urgency: row.urgency,
    ttl: Math.max(1, Math.ceil((row.expiresAt - now) / 1_000)),
    waiting,
  };
}
