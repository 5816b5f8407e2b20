type Json = { readonly [key: string]: unknown };

/** What a publisher may add to a push, cleared of what is not theirs to set. */
export interface Native {
  /** Fields of `message.android`. */
  readonly android: Json;
  /** Fields of `message.android.notification`. */
  readonly notification: Json;
  /** Entries of `message.data`. */
  readonly data: Json;
}

/**
 * The fields of AndroidConfig that steer neither whom a push goes to nor how. Those that are missing here do: collapse_key, priority,
 * ttl, restricted_package_name; so may fields that FCM comes to have.
 */
const ANDROID = ["bandwidth_constrained_ok", "direct_boot_ok", "fcm_options", "restricted_satellite_ok"] as const;

/** The fields of AndroidNotification, without `tag`: it is the notification's collapse id. */
const NOTIFICATION = [
  ...["body", "body_loc_args", "body_loc_key", "bypass_proxy_notification", "channel_id", "click_action", "color"],
  ...["default_light_settings", "default_sound", "default_vibrate_timings", "event_time", "icon", "image", "light_settings"],
  ...["local_only", "notification_count", "notification_priority", "proxy", "sound", "sticky", "ticker", "title"],
  ...["title_loc_args", "title_loc_key", "vibrate_timings", "visibility"],
];

/** Keys of `message.data` that FCM refuses or overwrites, and our own. */
const RESERVED = /^(from|message_type|collapse_key|peyk|gcm.*|google.*)$/i;

const NONE: Native = Object.freeze({ android: Object.freeze({}), notification: Object.freeze({}), data: Object.freeze({}) });

/**
 * Reads `native`: a part of FCM's Message resource, `{ android: { …, notification: { … } }, data: { … } }`
 * (https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages). Names may be written as `direct_boot_ok` or as
 * `directBootOk`, as FCM itself takes them. What may not be set is left out, and so is data that is no text.
 */
export function readNative(native: Readonly<Record<string, unknown>> | undefined): Native {
  if (native === undefined) return NONE;
  const android = objectOf(native["android"]);
  return {
    android: pick(android, ANDROID),
    notification: pick(objectOf(android["notification"]), NOTIFICATION),
    data: Object.fromEntries(
      Object.entries(objectOf(native["data"])).filter(([key, value]) => !RESERVED.test(key) && typeof value === "string"),
    ),
  };
}

function pick(from: Json, names: readonly string[]): Json {
  return Object.fromEntries(
    Object.entries(from).map(([name, value]) => [snake(name), value] as const).filter(([name]) => names.includes(name)),
  );
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function objectOf(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value as Json : {};
}
