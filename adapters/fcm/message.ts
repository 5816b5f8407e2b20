import { Buffer } from "node:buffer";
import type { Alert, PushNotification } from "../../src/ports/push_provider.ts";
import type { InterruptionLevel } from "../../src/protocol/message.ts";
import { type Native, readNative } from "./native.ts";

/** Who shows a push: the system, from the notification in it, or the app, from the data in it. */
export type ShownBy = "notification" | "data";

/** What `message.data.peyk` holds, as JSON: FCM's data are texts. */
export interface FcmData {
  /** Who it is for: drop it when someone else is signed in. */
  userId: string;
  /** The message's id. The socket may bring the same message. */
  id: string;
  topic: string;
  position: { epoch: number; offset: number };
  /** How many messages the push stands for; 101 says more than 100. */
  waiting: number;
  /**
   * With "data": all that is to be shown. With "notification": what the notification has no field for. Empty: a message waits, and
   * the app finds the words. Absent: nothing is to be shown.
   */
  alert?: Alert;
}

/** FCM keeps a message for four weeks at most, and refuses more. */
const MAX_TTL = 2_419_200;
/** Keys and values of what the app gets (https://firebase.google.com/docs/cloud-messaging/concept-options). */
const MAX_PAYLOAD_BYTES = 4_096;
/** The app's text resource that a notification without words shows. */
const WAITS = "peyk_message_waits";

/**
 * The body of a request, undefined where it is too large even without its words.
 *
 * The whole payload counts as JSON against FCM's limit, which counts somewhat less: what passes here is not refused there.
 */
export function requestBody(token: string, push: PushNotification, shownBy: ShownBy): Uint8Array | undefined {
  const whole = encode(token, payloadOf(push, readNative(push.native), shownBy));
  if (whole !== undefined) return whole;
  const bare = { ...push, alert: push.alert && {} };
  return encode(token, payloadOf(bare, readNative(undefined), shownBy));
}

/** An installation id is 22 base64url characters (https://firebase.google.com/docs/projects/manage-installations); no token is so short. */
function addressOf(token: string): string {
  return /^[\w-]{22}$/.test(token) ? "fid" : "token";
}

function encode(token: string, payload: object): Uint8Array | undefined {
  const start = `{"message":{"${addressOf(token)}":${JSON.stringify(token)},`;
  const rest = JSON.stringify(payload);
  return Buffer.byteLength(rest) > MAX_PAYLOAD_BYTES ? undefined : Buffer.from(`${start}${rest.slice(1)}}`);
}

function payloadOf(push: PushNotification, native: Native, shownBy: ShownBy): object {
  const { alert, silent, ttl, urgency } = push;
  const notification = alert !== undefined && shownBy === "notification" ? notificationOf(push, alert, native) : undefined;
  const isUrgent = !silent && (urgency === "normal" || urgency === "high");
  return {
    data: { ...native.data, peyk: JSON.stringify(dataOf(push, notification === undefined ? alert : unshown(alert!))) },
    android: {
      ...native.android,
      // A push that shows nothing must not be urgent: FCM demotes those of an app that sends such (over 7 days).
      priority: isUrgent ? "HIGH" : "NORMAL",
      ttl: `${Math.min(Math.max(0, Math.ceil(ttl)), MAX_TTL)}s`,
      // FCM keeps four keys for a device, and forgets messages under others: only where the publisher wants it.
      ...alert?.collapseKey !== undefined && { collapse_key: alert.collapseKey },
      ...notification && { notification },
    },
  };
}

function dataOf({ userId, id, topic, position, waiting }: PushNotification, alert: Alert | undefined): FcmData {
  return { userId, id, topic, position, waiting, ...alert && { alert } };
}

/** What is in no field of an Android notification: for the app, when it is opened. */
function unshown({ url, thread, category, actions }: Alert): Alert {
  return {
    ...url !== undefined && { url },
    ...thread !== undefined && { thread },
    ...category !== undefined && { category },
    ...actions !== undefined && { actions },
  };
}

function notificationOf({ collapseId }: PushNotification, alert: Alert, native: Native): object {
  const { title, body, icon, image, badge, sound, collapseKey, channel, interruptionLevel } = alert;
  return {
    ...title === undefined && body === undefined && { body_loc_key: WAITS },
    ...native.notification,
    ...title !== undefined && { title },
    ...body !== undefined && { body },
    // The icon is a drawable of the app. Web addresses are for browsers.
    ...icon !== undefined && /^\w+$/.test(icon) && { icon },
    ...image !== undefined && { image },
    ...badge !== undefined && badge > 0 && { notification_count: badge },
    ...sound !== undefined && { sound },
    ...channel !== undefined && { channel_id: channel },
    ...interruptionLevel !== undefined && { notification_priority: PRIORITIES[interruptionLevel] },
    // The same on every try: a push that arrives twice is shown once.
    tag: collapseKey ?? collapseId,
  };
}

/** For devices before Android 8; since then the channel decides. */
const PRIORITIES: Readonly<Record<InterruptionLevel, string>> = Object.freeze({
  passive: "PRIORITY_LOW",
  active: "PRIORITY_DEFAULT",
  "time-sensitive": "PRIORITY_HIGH",
  critical: "PRIORITY_MAX",
});
