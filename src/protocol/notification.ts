import { PeykError } from "./errors.ts";
import type { InterruptionLevel, Notification } from "./message.ts";
import { checkFields } from "./fields.ts";
import { pack } from "./pack.ts";

/** No platform shows more than a few. */
const MAX_ACTIONS = 16;
const MAX_LABEL = 256;
const MAX_NATIVE_BYTES = 4_096;
const LEVELS: readonly unknown[] = ["passive", "active", "time-sensitive", "critical"] satisfies InterruptionLevel[];

/** What a field may hold: the value as it is kept, or undefined where it may not. */
type Field = readonly [wanted: string, keep: (value: unknown) => unknown];

const text: Field = ["text", (value) => typeof value === "string" ? value : undefined];
const label: Field = [
  `text of at most ${MAX_LABEL} characters`,
  (value) => typeof value === "string" && value.length <= MAX_LABEL ? value : undefined,
];

const FIELDS: Readonly<Record<keyof Notification, Field>> = {
  title: text,
  body: text,
  icon: text,
  image: text,
  url: text,
  sound: text,
  collapseKey: text,
  thread: label,
  category: label,
  channel: label,
  badge: ["a whole number from 0", (value) => Number.isSafeInteger(value) && (value as number) >= 0 ? value : undefined],
  interruptionLevel: ["passive, active, time-sensitive or critical", (value) => LEVELS.includes(value) ? value : undefined],
  actions: [`a list of at most ${MAX_ACTIONS} with action and title, both text`, actionsOf],
  native: ["a map of maps, by names of providers", (value) => isMap(value) && isByProvider(value) ? value : undefined],
};

/**
 * A notification as it is kept: without what is not known, null and undefined counting as absent.
 * @throws {PeykError} `bad-message` for a field that holds what it can't, `too-large` for `native`
 */
export function checkNotification(given: unknown): Notification {
  if (!isMap(given)) throw fault("notification", "a map");
  const checked: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(given)) {
    if (!Object.hasOwn(FIELDS, key) || value === undefined || value === null) continue;
    const [wanted, keep] = FIELDS[key as keyof Notification];
    checked[key] = keep(value);
    if (checked[key] === undefined) throw fault(`notification.${key}`, wanted);
  }
  // In an array, of one byte, it has a name in what pack throws.
  if (checked["native"] !== undefined && pack([checked["native"]], ["notification.native"]).length > 1 + MAX_NATIVE_BYTES) {
    throw new PeykError("too-large", `notification.native: more than ${MAX_NATIVE_BYTES} bytes`, {
      hint: "Push services take about as much for all there is.",
    });
  }
  return checked;
}

/**
 * Checks that a notification has no field that isn't known. Only for what this server's own code gives: clients may be newer.
 * @throws {PeykError} `bad-message`
 */
export function checkNotificationFields(given: unknown): void {
  if (isMap(given)) checkFields(given, FIELDS, "notification", "bad-message");
}

function actionsOf(value: unknown): Notification["actions"] {
  if (!Array.isArray(value) || value.length > MAX_ACTIONS) return undefined;
  const actions = value.map((one) => ({ action: one?.action, title: one?.title }));
  return actions.every(({ action, title }) => typeof action === "string" && typeof title === "string") ? actions : undefined;
}

function isByProvider(native: Record<string, unknown>): boolean {
  return Object.entries(native).every(([provider, fields]) => /^[a-z][a-z0-9-]{0,63}$/.test(provider) && isMap(fields));
}

function isMap(value: unknown): value is Record<string, unknown> {
  return Object.prototype.toString.call(value) === "[object Object]";
}

function fault(field: string, wanted: string): PeykError {
  return new PeykError("bad-message", `${field} is not ${wanted}`, { hint: `${field}: ${wanted}.` });
}
