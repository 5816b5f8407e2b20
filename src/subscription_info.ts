import type { Position } from "./protocol/message.ts";
import { splitTopic, type Topic } from "./protocol/names.ts";
import type { UserRecord } from "./ports/users.ts";

/** What a user is subscribed to, as `subscriptions()` shows it. */
export interface SubscriptionInfo {
  readonly topic: Topic;
  /** The user, or `*` for a public channel. */
  readonly to: string;
  readonly channel: string;
  /** Where a device without a past begins to read: where the subscription began, or after what devices that signed out have shown. */
  readonly begins: Position;
}

/** A user's subscriptions, by topic. */
export function describeSubscriptions(record: UserRecord | undefined): SubscriptionInfo[] {
  return Object.entries(record?.subscriptions ?? {})
    .map(([topic, { epoch, offset }]) => ({ topic, ...splitTopic(topic), begins: { epoch, offset } }))
    .sort((a, b) => a.topic < b.topic ? -1 : 1);
}
