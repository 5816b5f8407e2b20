import { Buffer } from "node:buffer";
import type { Alert, PushNotification } from "../../src/ports/push_provider.ts";

/** What Apple takes, for alerts and for background pushes. */
export const MAX_PAYLOAD_BYTES = 4_096;

type Fields = Readonly<Record<string, unknown>>;

/**
 * The body of a request. What does not fit, or can't be written as JSON, leaves the words and `native` out: a message waits then.
 * @returns undefined when it is too large even so
 * @see https://developer.apple.com/documentation/usernotifications/generating-a-remote-notification
 */
export function payloadOf(notification: PushNotification): Uint8Array | undefined {
  const { native: _, ...bare } = notification;
  return encoded(notification) ?? encoded({ ...bare, alert: {} });
}

function encoded(notification: PushNotification): Uint8Array | undefined {
  const { userId, id, topic, position, waiting, native, silent, alert = {} } = notification;
  // What is undefined is left out by JSON.
  const shown = silent ? undefined : { url: alert.url, image: alert.image, icon: alert.icon };
  const payload = { ...native, aps: apsOf(notification), peyk: { userId, id, topic, position, waiting, ...shown } };
  try {
    const bytes = Buffer.from(JSON.stringify(payload));
    return bytes.length > MAX_PAYLOAD_BYTES ? undefined : bytes;
  } catch {
    // A bigint in `native`, for example.
    return undefined;
  }
}

/** What the device acts on. What the notification says is put over what `native` says, never under it. */
function apsOf({ alert = {}, silent, waiting, native }: PushNotification): Fields {
  if (silent) return { "content-available": 1 };
  const more = fieldsOf(native?.["aps"]);
  return {
    ...more,
    badge: alert.badge ?? more["badge"],
    sound: alert.sound ?? more["sound"],
    "thread-id": alert.thread ?? more["thread-id"],
    category: alert.category ?? more["category"],
    "interruption-level": alert.interruptionLevel ?? more["interruption-level"],
    alert: wordsOf(alert, more["alert"], waiting),
    // Lets the app's own service extension, where it has one, find other words and fetch the image.
    "mutable-content": 1,
  };
}

function wordsOf({ title, body }: Alert, native: unknown, waiting: number): Fields {
  const more = typeof native === "string" ? { body: native } : fieldsOf(native);
  const words: Record<string, unknown> = { ...more, title: title ?? more["title"], body: body ?? more["body"] };
  for (const name of Object.keys(more)) {
    // The device would show these in place of the words beside them.
    if ((title !== undefined && name.startsWith("title-loc-")) || (body !== undefined && name.startsWith("loc-"))) {
      delete words[name];
    }
  }
  const isWorded = ["title", "body", "title-loc-key", "loc-key"].some((name) => words[name] !== undefined);
  // A device shows nothing without words. Where the app translates no such text, the text itself is shown.
  return isWorded ? words : { ...words, "loc-key": waiting > 1 ? "New messages" : "New message" };
}

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value as Fields : {};
}
