import { describe, expect, test } from "vitest";
import { payloadOf } from "../../adapters/apns/payload.ts";
import type { PushNotification } from "../../src/ports/push_provider.ts";
import { notification } from "./stage.ts";

interface Payload {
  aps: Record<string, unknown>;
  peyk: Record<string, unknown>;
  [name: string]: unknown;
}

const bytesOf = (changes: Partial<PushNotification>) => payloadOf({ ...notification, ...changes });

function payload(changes: Partial<PushNotification>): Payload {
  return JSON.parse(new TextDecoder().decode(bytesOf(changes))) as Payload;
}

const peyk = { userId: "u1", id: "m1", topic: "u1/default", position: { epoch: 1, offset: 2 }, waiting: 1 };
const waits = { aps: { alert: { "loc-key": "New message" }, "mutable-content": 1 }, peyk };

describe("a payload", () => {
  test("has the words, and tells the app which message it is", () => {
    expect(payload({})).toEqual({ aps: { alert: { title: "Sara", body: "Hello" }, "mutable-content": 1 }, peyk });
  });

  test("has all that Apple has a field for, and what the app may use beside", () => {
    const alert = {
      title: "Sara",
      body: "سلام 😀",
      badge: 0,
      sound: "default",
      thread: "family",
      category: "chat",
      interruptionLevel: "time-sensitive",
      url: "https://example.org/1",
      image: "https://example.org/1.png",
      icon: "https://example.org/i.png",
      collapseKey: "k",
      channel: "android",
      actions: [{ action: "reply", title: "Reply" }],
    } as const;
    expect(payload({ alert, waiting: 7 })).toEqual({
      aps: {
        alert: { title: "Sara", body: "سلام 😀" },
        badge: 0,
        sound: "default",
        "thread-id": "family",
        category: "chat",
        "interruption-level": "time-sensitive",
        "mutable-content": 1,
      },
      peyk: { ...peyk, waiting: 7, url: alert.url, image: alert.image, icon: alert.icon },
    });
  });

  test("without words says that a message waits, in a text that the app can translate", () => {
    expect(payload({ alert: {} })).toEqual(waits);
    expect(payload({ alert: {}, waiting: 2 }).aps.alert).toEqual({ "loc-key": "New messages" });
    expect(payload({ alert: { badge: 3 } }).aps).toEqual({ alert: { "loc-key": "New message" }, badge: 3, "mutable-content": 1 });
    expect(payload({ alert: { title: "Sara" } }).aps.alert).toEqual({ title: "Sara" });
  });

  test("of a silent message wakes the app and shows nothing", () => {
    expect(payload({ alert: undefined, silent: true })).toEqual({ aps: { "content-available": 1 }, peyk });
  });
});

describe("fields that are meant for Apple alone", () => {
  test("fill what the notification leaves out, in aps and beside it", () => {
    const native = {
      order: { id: 7 },
      aps: {
        "relevance-score": 0.5,
        sound: { critical: 1, name: "alarm.caf", volume: 1 },
        "content-available": 1,
        alert: { subtitle: "Home" },
      },
    };
    expect(payload({ native })).toEqual({
      order: { id: 7 },
      aps: {
        "relevance-score": 0.5,
        sound: { critical: 1, name: "alarm.caf", volume: 1 },
        "content-available": 1,
        alert: { subtitle: "Home", title: "Sara", body: "Hello" },
        "mutable-content": 1,
      },
      peyk,
    });
  });

  test("change nothing of what the notification says", () => {
    const alert = {
      title: "Sara",
      body: "Hello",
      badge: 1,
      sound: "default",
      thread: "t",
      category: "c",
      interruptionLevel: "active",
    } as const;
    const native = {
      peyk: { userId: "somebody else" },
      aps: {
        alert: { title: "x", body: "x", "loc-key": "x", "loc-args": ["x"], "title-loc-key": "x", "title-loc-args": ["x"] },
        badge: 9,
        sound: "x",
        "thread-id": "x",
        category: "x",
        "interruption-level": "critical",
        "mutable-content": 0,
      },
    };
    expect(payload({ alert, native })).toEqual(payload({ alert }));
  });

  test("may bring the words, as texts or as keys", () => {
    const worded = (alert: unknown) => payload({ alert: {}, native: { aps: { alert } } }).aps.alert;
    expect(worded("Hello")).toEqual({ body: "Hello" });
    expect(worded({ "loc-key": "hello", "loc-args": ["Sara"] })).toEqual({ "loc-key": "hello", "loc-args": ["Sara"] });
    expect(worded({ subtitle: "Home" })).toEqual({ subtitle: "Home", "loc-key": "New message" });
    expect(payload({ alert: { title: "Sara" }, native: { aps: { alert: { "loc-key": "wrote" } } } }).aps.alert).toEqual({
      title: "Sara",
      "loc-key": "wrote",
    });
  });

  test("do not make a silent push show anything", () => {
    const native = {
      order: 7,
      peyk: {},
      aps: { alert: "x", badge: 1, sound: "x", "content-available": 0, "mutable-content": 1 },
    };
    expect(payload({ alert: undefined, silent: true, native })).toEqual({ order: 7, aps: { "content-available": 1 }, peyk });
  });

  test.each([[null], ["x"], [7], [["x"]], [undefined]])("are ignored where aps is %j, no map", (aps) => {
    expect(payload({ native: { aps } })).toEqual(payload({}));
  });

  test("are left out with the words where JSON can't hold them", () => {
    expect(payload({ native: { big: 1n } })).toEqual(waits);
  });
});

describe("the limit of 4,096 bytes", () => {
  const empty = bytesOf({ alert: { body: "" } })!.length;

  test("is in bytes, and reached exactly", () => {
    expect(bytesOf({ alert: { body: "a".repeat(4_096 - empty) } })).toHaveLength(4_096);
    expect(payload({ alert: { body: "ن".repeat((4_096 - empty) >> 1) } }).aps.alert).not.toEqual(waits.aps.alert);
  });

  test("leaves out all words and native beyond it: a message waits", () => {
    for (const body of ["a".repeat(4_097 - empty), "ن".repeat(((4_096 - empty) >> 1) + 1)]) {
      expect(payload({ alert: { title: "Sara", body, badge: 1, url: "x" }, native: { x: 1 } })).toEqual(waits);
    }
    expect(payload({ native: { x: "a".repeat(4_000) } })).toEqual(waits);
    expect(payload({ silent: true, alert: undefined, native: { x: "a".repeat(4_096) } })).toEqual({
      aps: { "content-available": 1 },
      peyk,
    });
  });

  test("refuses what is larger even without them", () => {
    expect(bytesOf({ id: "a".repeat(4_096) })).toBeUndefined();
  });
});
