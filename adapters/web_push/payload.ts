import { Buffer } from "node:buffer";
import type { Alert, PushNotification } from "../../src/ports/push_provider.ts";

/** What stands in where a message says nothing. */
export interface PayloadDefaults {
  title: string;
  /** Where the app lives. Relative URLs of a notification start there. */
  url: string;
}

/** Names the message to the app. Where it stands: in `notification.data`, or in `data` where nothing is shown. */
export type PushIds = Pick<PushNotification, "userId" | "id" | "topic" | "position" | "waiting">;

/**
 * What a push says, in the form of Declarative Web Push (https://w3c.github.io/push-api/#declarative-push-message): browsers that
 * know it show it by themselves, in others the service worker reads the same JSON. What is silent has no such form: the worker alone
 * reads it.
 *
 * Where the whole is too large, the words and `native` are left out.
 *
 * @returns undefined where even that is too large
 */
export function payloadOf(push: PushNotification, defaults: PayloadDefaults, maxBytes: number): Buffer | undefined {
  const { alert, native: _native, ...rest } = push;
  const bare = { ...rest, alert: alert && {} };
  return [push, bare].map((one) => json(one, defaults)).find((bytes) => bytes !== undefined && bytes.length <= maxBytes);
}

function json(push: PushNotification, defaults: PayloadDefaults): Buffer | undefined {
  try {
    return Buffer.from(JSON.stringify(push.alert === undefined ? silent(push) : declarative(push, push.alert, defaults)));
  } catch {
    return undefined; // `native` holds what JSON can't
  }
}

function declarative({ native, ...push }: PushNotification, alert: Alert, { title, url }: PayloadDefaults): unknown {
  const navigate = absolute(alert.url, url) ?? url;
  return {
    web_push: 8030,
    notification: {
      // Fields that are named below are ours, also where there is nothing to say: what replaces others is `collapseKey` alone.
      ...native,
      // Without a title, a place to go, or with a URL that is none, Safari does not take it for declarative.
      title: alert.title || title,
      body: alert.body,
      navigate,
      icon: absolute(alert.icon, url),
      image: absolute(alert.image, url),
      tag: alert.collapseKey,
      silent: alert.interruptionLevel === "passive" || undefined,
      actions: alert.actions?.map((one) => ({ ...one, navigate })),
      data: { ...dataOf(native), ...idsOf(push) },
    },
    app_badge: alert.badge,
    // Else no worker of a browser that shows it by itself gets to see it.
    mutable: true,
  };
}

function silent({ native, ...push }: PushNotification): unknown {
  return { data: { ...dataOf(native), ...idsOf(push) } };
}

function idsOf({ userId, id, topic, position, waiting }: PushIds): PushIds {
  return { userId, id, topic, position, waiting };
}

function dataOf(native: PushNotification["native"]): object {
  const data = native?.["data"];
  return typeof data === "object" && data !== null ? data : {};
}

/** A web address, or undefined where it is none. */
function absolute(url: string | undefined, base: string): string | undefined {
  if (url === undefined || !URL.canParse(url, base)) return undefined;
  const { href, protocol } = new URL(url, base);
  return protocol === "https:" || protocol === "http:" ? href : undefined;
}
