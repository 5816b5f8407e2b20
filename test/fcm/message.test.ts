import { Buffer } from "node:buffer";
import { describe, expect, test } from "vitest";
import { requestBody } from "../../adapters/fcm/message.ts";
import type { PushNotification } from "../../src/ports/push_provider.ts";
import { notification, token } from "./stage.ts";

function messageOf(changes: Partial<PushNotification> = {}, shownBy: "notification" | "data" = "notification", to = token) {
  const bytes = requestBody(to, { ...notification, ...changes }, shownBy);
  return bytes === undefined ? undefined : JSON.parse(Buffer.from(bytes).toString()).message;
}

const names = { userId: "sara", id: "message-1", topic: "sara/default", position: { epoch: 5, offset: 1 }, waiting: 1 };

describe("a message that the system shows", () => {
  test("holds the words in its notification and the names of the message in its data", () => {
    const { data, ...others } = messageOf();
    expect(others).toEqual({
      token,
      android: { priority: "HIGH", ttl: "3600s", notification: { title: "Omid", body: "Hello", tag: "0123456789abcdef" } },
    });
    expect(Object.keys(data)).toEqual(["peyk"]);
    expect(JSON.parse(data.peyk)).toEqual({ ...names, alert: {} });
  });

  test("holds what Android has a field for in the notification, the rest in the data", () => {
    const shown = { title: "Omid", body: "Hello", icon: "ic_chat", image: "https://example.org/a.png", sound: "ping" };
    const unshown = {
      url: "https://example.org/chat",
      thread: "chat-7",
      category: "reply",
      actions: [{ action: "a", title: "A" }],
    };
    const alert = { ...shown, ...unshown, badge: 3, channel: "chats", interruptionLevel: "time-sensitive" as const };
    const { android, data } = messageOf({ alert });
    expect(android.notification).toEqual({
      ...shown,
      notification_count: 3,
      channel_id: "chats",
      notification_priority: "PRIORITY_HIGH",
      tag: "0123456789abcdef",
    });
    expect(JSON.parse(data.peyk).alert).toEqual(unshown);
  });

  test("names no web address as its icon, and no badge of 0", () => {
    const { android } = messageOf({ alert: { title: "Omid", icon: "https://example.org/i.png", badge: 0 } });
    expect(android.notification).toEqual({ title: "Omid", tag: "0123456789abcdef" });
  });

  test("without words shows the app's own text for that", () => {
    expect(messageOf({ alert: {} }).android.notification).toEqual({
      body_loc_key: "peyk_message_waits",
      tag: "0123456789abcdef",
    });
  });
});

describe("a message that the app shows", () => {
  test("has no notification, and all that is to be shown in its data", () => {
    const alert = { title: "Omid", body: "Hello", url: "https://example.org/chat" };
    const { android, data } = messageOf({ alert }, "data");
    expect(android).toEqual({ priority: "HIGH", ttl: "3600s" });
    expect(JSON.parse(data.peyk)).toEqual({ ...names, alert });
  });

  test.each(["notification", "data"] as const)("has no alert when nothing is to be shown, with %s", (shownBy) => {
    const { android, data } = messageOf({ alert: undefined, silent: true, urgency: "high" }, shownBy);
    expect(android).toEqual({ priority: "NORMAL", ttl: "3600s" });
    expect(JSON.parse(data.peyk)).toEqual(names);
  });
});

describe("a message", () => {
  test.each([["very-low", "NORMAL"], ["low", "NORMAL"], ["normal", "HIGH"], ["high", "HIGH"]] as const)(
    "of urgency %s has the priority %s",
    (urgency, priority) => expect(messageOf({ urgency }).android.priority).toBe(priority),
  );

  test.each([[1, "1s"], [59.2, "60s"], [2_419_200, "2419200s"], [2_592_000, "2419200s"]])(
    "worth keeping for %s s is kept for %s",
    (ttl, kept) => expect(messageOf({ ttl }).android.ttl).toBe(kept),
  );

  test("collapses only where the publisher wants it", () => {
    expect(messageOf().android).not.toHaveProperty("collapse_key");
    const { android } = messageOf({ alert: { title: "Omid", collapseKey: "score" } });
    expect([android.collapse_key, android.notification.tag]).toEqual(["score", "score"]);
    expect(messageOf({ alert: { title: "Omid", collapseKey: "score" } }, "data").android.collapse_key).toBe("score");
  });

  test("goes to an installation id as such", () => {
    const fid = "cxyzABC123_-0123456789";
    expect(messageOf({}, "data", fid)).toMatchObject({ fid });
    expect(messageOf({}, "data", fid)).not.toHaveProperty("token");
    expect(messageOf({}, "data", `${fid}:APA91b`)).toMatchObject({ token: `${fid}:APA91b` });
    expect(messageOf({}, "data", fid.slice(1))).toHaveProperty("token");
  });

  test("holds text of any script, and says how many it stands for", () => {
    const { android, data } = messageOf({ waiting: 101, alert: { body: 'سلام 😀 "\n' } });
    expect([android.notification.body, JSON.parse(data.peyk).waiting]).toEqual(['سلام 😀 "\n', 101]);
  });
});

describe("a message that is too large", () => {
  const large = "ا".repeat(2_048);

  test.each(["notification", "data"] as const)("leaves its words out: a message waits, with %s", (shownBy) => {
    const left = messageOf({ alert: { body: large }, native: { data: { more: "1" } } }, shownBy);
    expect(left).toEqual(messageOf({ alert: {} }, shownBy));
    expect(messageOf({ native: { data: { large } } }, shownBy)).toEqual(messageOf({ alert: {} }, shownBy));
  });

  test("is one of more than 4,096 bytes, the token not counted", () => {
    const spare = 4_096 - Buffer.byteLength(JSON.stringify({ ...messageOf({ alert: { body: "" } }), token: undefined }));
    const fits = "a".repeat(spare);
    expect(messageOf({ alert: { body: fits } }, "notification", token.repeat(9)).android.notification.body).toBe(fits);
    expect(messageOf({ alert: { body: `${fits}a` } }).android.notification.body).toBeUndefined();
  });

  test("is none where even the names are", () => {
    expect(messageOf({ id: large })).toBeUndefined();
    expect(messageOf({ alert: undefined, silent: true, native: { data: { large } } })).toEqual(
      messageOf({ alert: undefined, silent: true }),
    );
  });
});

describe("what the publisher adds for FCM alone", () => {
  test("is in the message, in either way to write names", () => {
    const native = {
      android: {
        direct_boot_ok: true,
        bandwidthConstrainedOk: true,
        notification: { color: "#ff0000", clickAction: "OPEN", sticky: true },
      },
      data: { kind: "chat" },
    };
    const { android, data } = messageOf({ native });
    expect(android).toMatchObject({ direct_boot_ok: true, bandwidth_constrained_ok: true });
    expect(android.notification).toMatchObject({ title: "Omid", color: "#ff0000", click_action: "OPEN", sticky: true });
    expect(data.kind).toBe("chat");
  });

  test.each(["notification", "data"] as const)("changes nothing of whom it goes to and how, with %s", (shownBy) => {
    const steering = {
      priority: "NORMAL",
      ttl: "1s",
      collapse_key: "k",
      collapseKey: "k",
      restricted_package_name: "org.other",
      data: { a: "b" },
    };
    const native = {
      ...{ token: "other", fid: "other", topic: "all", condition: "'a' in topics", name: "n", notification: { title: "Other" } },
      ...{ apns: { headers: { "apns-priority": "10" } }, webpush: { headers: { TTL: "1" } }, validate_only: true },
      android: { ...steering, notification: { tag: "other", title: "Other" }, __proto__: { priority: "NORMAL" } },
      data: {
        peyk: "{}",
        from: "a",
        message_type: "a",
        gcm: "a",
        "gcm.x": "a",
        "google.c": "a",
        Google: "a",
        collapse_key: "a",
        n: 1,
      },
    };
    expect(messageOf({ native }, shownBy)).toEqual(messageOf({}, shownBy));
    const silent = { alert: undefined, silent: true };
    expect(messageOf({ ...silent, native }, shownBy)).toEqual(messageOf(silent, shownBy));
  });

  test("may be anything, and is left out then", () => {
    for (const native of [{ android: 1, data: [] }, { android: { notification: "x" }, data: null }, { android: [{}] }]) {
      expect(messageOf({ native })).toEqual(messageOf());
    }
  });

  test("stands in for missing words", () => {
    const { notification } =
      messageOf({ alert: {}, native: { android: { notification: { body_loc_key: "greeting" } } } }).android;
    expect(notification.body_loc_key).toBe("greeting");
  });
});
