import { expect, test } from "vitest";
import { createCacheBytes } from "../../src/delivery/cache_bytes.ts";
import { Feed } from "../../src/delivery/feed.ts";
import { Pushed } from "../../src/delivery/pushed.ts";
import { Reader, Session } from "../../src/delivery/session.ts";

const TOPIC = "*/news";

function pushed(): Pushed {
  const all = new Pushed();
  all.set(TOPIC, 1, "waits");
  all.set(TOPIC, 2, "waits");
  all.set("*/other", 1, "waits");
  return all;
}

/** A reader that was sent nothing yet. */
function behind(): Reader {
  const feed = new Feed<Reader>(TOPIC, { arrive() {}, pass() {}, handOut() {}, missed() {} }, createCacheBytes());
  const session = new Session("sara", { deviceId: "phone", node: "here", generation: 1, targets: [], changedAt: 0 }, 1);
  const reader = new Reader(session, feed, { epoch: 1, from: 0, acked: 0, shown: 0, decided: 0 });
  session.readers.push(reader);
  session.pushed = new Pushed();
  return reader;
}

function push(reader: Reader, offset: number, previous: number = offset - 1): void {
  reader.session.pushed!.set(TOPIC, offset, "waits");
  reader.pushWritten({ position: { epoch: 1, offset }, previous });
}

test("of an entry that was seen and whose push is written nothing is left, whichever comes first", () => {
  const all = pushed();
  all.seen(TOPIC, 1);
  expect(all.get(TOPIC, 1)).toBe("waits, seen");
  all.written(TOPIC, 1);
  all.written(TOPIC, 2);
  expect([all.get(TOPIC, 1), all.get(TOPIC, 2)]).toEqual([undefined, "written"]);
  all.seen(TOPIC, 2);
  expect([...all.of(TOPIC), ...all.of("*/other")]).toEqual([[1, "waits"]]);
  all.forget("*/other");
  expect(all.isEmpty).toBe(true);
});

test("what is seen or written of what is not noted changes nothing", () => {
  const all = new Pushed();
  all.seen(TOPIC, 1);
  all.written(TOPIC, 1);
  all.forget(TOPIC);
  expect(all.isEmpty).toBe(true);
});

test("of very many those are forgotten that came first", () => {
  const all = new Pushed();
  for (let offset = 1; offset <= 10_000; offset++) all.set(TOPIC, offset, "written");
  expect([...all.of(TOPIC)].map(([offset]) => offset)).toEqual(Array.from({ length: 8_192 }, (_, i) => i + 1_809));
});

test("of what waits in the log and is pushed nothing is noted but how far it goes", () => {
  const reader = behind();
  for (let offset = 1; offset <= 500; offset++) push(reader, offset);
  expect([reader.session.pushed!.isEmpty, reader.decidedUpTo(), reader.undecidedAfter()]).toEqual([true, 500, 500]);
});

test("a push beyond an entry that is still open leaves that open", () => {
  const reader = behind();
  for (const offset of [1, 2, 5, 6]) push(reader, offset);
  expect(reader.decidedUpTo()).toBe(2);
  expect([...reader.session.pushed!.of(TOPIC)]).toEqual([[5, "written"], [6, "written"]]);
  push(reader, 3, 2);
  push(reader, 4, 3);
  expect(reader.decidedUpTo()).toBe(4);
});

test("a push that is written down when its connection is gone, or another one is there, is decided", () => {
  for (const pushed of [undefined, new Pushed()]) {
    const reader = behind();
    reader.acked = reader.sent = reader.owed = 3;
    reader.session.pushed = pushed;
    for (const offset of [1, 2]) reader.pushWritten({ position: { epoch: 1, offset }, previous: offset - 1 });
    expect(reader.decidedUpTo()).toBe(2);
  }
});

test("in another life of the log nothing of it is noted", () => {
  const reader = behind();
  for (const offset of [1, 3]) push(reader, offset);
  reader.decidingTo = 9;
  reader.restart(2, 0);
  expect([reader.session.pushed!.isEmpty, reader.undecidedAfter()]).toEqual([true, 0]);
  push(reader, 1);
  expect(reader.undecidedAfter()).toBe(0);
});
