import { describe, expect, test } from "vitest";
import { payloadOf } from "../../adapters/web_push/payload.ts";
import type { PushNotification } from "../../src/ports/push_provider.ts";

const defaults = { title: "New message", url: "https://app.example.org/inbox/" };
const ids = { userId: "sara", id: "message-1", topic: "sara/default", position: { epoch: 5, offset: 1 }, waiting: 3 } as const;
const push: PushNotification = {
  ...ids,
  collapseId: "0123456789abcdef",
  alert: { title: "Omid", body: "Hello" },
  silent: false,
  urgency: "normal",
  ttl: 3_600,
};

// deno-lint-ignore no-explicit-any -- what a browser reads has no type of ours
function read(changed: Partial<PushNotification>, maxBytes = 3_993): any {
  const bytes = payloadOf({ ...push, ...changed }, defaults, maxBytes);
  return bytes === undefined ? undefined : JSON.parse(bytes.toString());
}

describe("what a push says", () => {
  test("is a declarative message, with the ids for the app", () => {
    expect(read({})).toEqual({
      web_push: 8030,
      notification: { title: "Omid", body: "Hello", navigate: "https://app.example.org/inbox/", data: ids },
      mutable: true,
    });
  });

  test("has all that a browser can show", () => {
    const alert = {
      title: "Omid",
      body: "Hello",
      icon: "/omid.png",
      image: "https://cdn.example.org/1.jpg",
      url: "chat/7",
      badge: 4,
      collapseKey: "chat-7",
      interruptionLevel: "passive",
      sound: "ping",
      thread: "a",
      category: "b",
      channel: "c",
      actions: [{ action: "reply", title: "Reply" }],
    } as const;
    const navigate = "https://app.example.org/inbox/chat/7";
    expect(read({ alert })).toEqual({
      web_push: 8030,
      notification: {
        title: "Omid",
        body: "Hello",
        navigate,
        icon: "https://app.example.org/omid.png",
        image: "https://cdn.example.org/1.jpg",
        tag: "chat-7",
        silent: true,
        actions: [{ action: "reply", title: "Reply", navigate }],
        data: ids,
      },
      app_badge: 4,
      mutable: true,
    });
  });

  test("has a title also where there are no words", () => {
    for (const alert of [{}, { title: "" }]) expect(read({ alert }).notification.title).toBe("New message");
    expect(read({ alert: { body: "Hello" } }).notification).toMatchObject({ title: "New message", body: "Hello" });
  });

  test.each(["javascript:alert(1)", "http://[", "data:text/html,x"])("leads to the app where its own URL is none: %s", (url) => {
    const { notification } = read({ alert: { url, icon: url, image: url } });
    expect(notification).toEqual({ title: "New message", navigate: defaults.url, data: ids });
  });

  test("that shows nothing is data, and nothing of the declarative form", () => {
    expect(read({ alert: undefined, silent: true })).toEqual({ data: ids });
  });

  test("takes fields of the publisher's own, none that stands for something else", () => {
    const native = {
      ...{ lang: "fa", dir: "rtl", vibrate: [1, 2], renotify: true },
      ...{
        title: "x",
        body: "x",
        navigate: "https://evil.example",
        tag: "x",
        icon: "x",
        web_push: 1,
        mutable: false,
        app_badge: 9,
      },
      data: { room: 7, userId: "omid", id: "x" },
    };
    const { notification, ...top } = read({ native, alert: {} });
    expect(top).toEqual({ web_push: 8030, mutable: true });
    expect(notification).toMatchObject({ lang: "fa", dir: "rtl", vibrate: [1, 2], renotify: true, data: { room: 7, ...ids } });
    expect(notification).toMatchObject({ title: "New message", navigate: defaults.url });
    expect(["body", "tag", "icon"].filter((field) => field in notification)).toEqual([]);
  });

  test("that shows nothing stays so, whatever the publisher adds", () => {
    const native = { web_push: 8030, notification: { title: "x" }, title: "x", data: { room: 7 } };
    expect(read({ native, alert: undefined, silent: true })).toEqual({ data: { room: 7, ...ids } });
  });

  test("is without words where the whole is too large, by bytes and not by characters", () => {
    const fits = "é".repeat(1_800);
    expect(read({ alert: { title: "Omid", body: fits } }).notification.body).toBe(fits);
    const bare = { web_push: 8030, notification: { title: "New message", navigate: defaults.url, data: ids }, mutable: true };
    expect(read({ alert: { title: "Omid", body: "é".repeat(2_000), url: "/x", badge: 1 } })).toEqual(bare);
    expect(read({ native: { data: "é".repeat(10), more: "é".repeat(2_000) } })).toEqual(bare);
    expect(read({ alert: { title: "Omid", body: fits } }, 600)).toEqual(bare);
  });

  test("fills the limit to the byte, and not one more", () => {
    const { length } = payloadOf({ ...push, alert: { body: "" } }, defaults, 3_993)!;
    const body = "a".repeat(3_993 - length);
    expect(payloadOf({ ...push, alert: { body } }, defaults, 3_993)!.length).toBe(3_993);
    expect(read({ alert: { body: `${body}a` } }).notification).not.toHaveProperty("body");
  });

  test("is nothing where even the ids are too large", () => {
    expect(read({ id: "a".repeat(4_000) })).toBeUndefined();
    expect(read({ id: "a".repeat(4_000), alert: undefined, silent: true })).toBeUndefined();
  });

  test("is without the publisher's own fields where those are no JSON", () => {
    expect(read({ native: { number: 1n } }).notification).not.toHaveProperty("number");
  });
});
