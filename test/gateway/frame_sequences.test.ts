import process from "node:process";
import { expect, onTestFinished, test } from "vitest";
import { memory, type MessageOptions } from "../../mod.ts";
import { encodeClientFrame, encodePayload } from "../../src/protocol/codec.ts";
import type { ClientFrame, Cursor, HelloFrame } from "../../src/protocol/frames.ts";
import { FakeProvider, seededRandom } from "../engine/stage.ts";
import { createBench, helloFrame, type Wire } from "./wire.ts";

const SEQUENCES = 20_000;
/** Sequences that run at the same time, and so get in each other's way. */
const AT_ONCE = 50;

const { fraction } = seededRandom(20_260_101);
const below = (count: number): number => Math.floor(fraction() * count);
const chance = (of: number): boolean => fraction() < of;
const pick = <Item>(items: readonly Item[]): Item => items[below(items.length)]!;

const USERS = ["sara", "omid", "nima", "*", "a/b", ""];
const TOPICS = ["sara/default", "omid/default", "nima/x", "*/news", "*/other", "*/", "nowhere", "sara/a/b", "bystander/default"];
const OPTIONS: (MessageOptions | null)[] = [null, null, { ephemeral: true }, { inApp: true }, { ttl: 1 }, { urgency: "high" }, {
  ephemeral: true,
  inApp: true,
}];

/** A number that may be right, nearly right, or absurd. */
const number = (near: number): number =>
  chance(0.7) ? near : pick([Math.min(near + 1, 2 ** 53 - 1), Math.max(0, near - 1), 0, 1, below(100), 2 ** 32, 2 ** 53 - 1]);

/** Positions that this connection was really told of, and others. */
function cursors(wire: Wire): Cursor[] {
  return Array.from({ length: below(4) }, () => {
    const known = pick(wire.of("message"));
    return {
      topic: known && chance(0.8) ? known.topic : pick(TOPICS),
      epoch: number(known?.epoch ?? 1),
      offset: number(known?.offset ?? 0),
    };
  });
}

function frame(wire: Wire): ClientFrame {
  const ref = below(4);
  const topic = pick(TOPICS);
  const [cursor = { topic, epoch: number(1), offset: number(1) }] = cursors(wire);
  switch (below(14)) {
    case 0:
      if (chance(0.7)) return { type: "state", visible: true, idleMs: 0 };
      return helloFrame(pick([...USERS, null]), {
        deviceId: pick(["phone", "laptop", "/"]),
        temporary: chance(0.3),
        signedOut: chance(0.8) ? [] : [pick(["phone", "7", "", "nobody's"])],
        version: chance(0.6) ? 1 : 2,
        more: chance(0.2),
      });
    case 1:
      if (chance(0.7)) return { type: "subscribe", ref, topic: "*/news", since: { epoch: 0, offset: 0 }, anew: false };
      return { type: "cursors", cursors: cursors(wire), more: chance(0.5) };
    case 2:
    case 3:
      return { type: "ack", seen: number(wire.contents.length), cursors: cursors(wire), idleMs: null, waiting: 0 };
    case 4:
    case 5:
      return {
        type: "publish",
        ref,
        topic,
        id: pick(["a", "b", `${fraction()}`, "", "*"]),
        options: pick(OPTIONS),
        payload: encodePayload("hi", [1]),
      };
    case 6:
      return {
        type: "subscribe",
        ref,
        topic,
        since: chance(0.5) ? null : { epoch: number(cursor.epoch), offset: number(cursor.offset) },
        anew: chance(0.5),
      };
    case 7:
      return { type: "unsubscribe", ref, topic };
    case 8:
      return { type: "state", visible: chance(0.5), idleMs: chance(0.5) ? 0 : null };
    case 9:
      return { type: chance(0.5) ? "token" : "identify", ref, token: pick(USERS) };
    case 10:
      return { type: "mark", ref, kind: pick(["read", "dismissed"]), ...cursor };
    case 11:
      return { type: "target", ref, provider: pick(["fake", "none"]), token: pick([null, "t", "", "u"]), details: null };
    case 12:
      return { type: "failed", ...cursor, reason: pick(["threw", "timeout", "x".repeat(40)]) };
    default:
      return chance(0.2)
        ? { type: "logout", ref }
        : { type: "ack", seen: wire.contents.length, cursors: [], idleMs: null, waiting: 0 };
  }
}

function hello(): Partial<HelloFrame> {
  const signedOut = chance(0.9) ? [] : Array.from({ length: below(3) }, () => `${below(40)}`);
  return { deviceId: `${below(40)}`, temporary: chance(0.2), signedOut };
}

/** One or a few frames as one message, sometimes damaged. */
function bytes(wire: Wire): Uint8Array[] {
  const parts = Array.from({ length: 1 + below(3) }, () => encodeClientFrame(frame(wire)));
  const part = pick(parts);
  if (chance(0.03)) part[below(part.length)] = below(256);
  if (chance(0.01)) parts.push(new Uint8Array([0x91, below(128)]));
  if (chance(0.005)) parts.push(new Uint8Array(70_000));
  return parts;
}

test("20,000 sequences of any frames in any state end in answers, silence or documented closes, and disturb nobody", async () => {
  const rejections: unknown[] = [];
  const rejected = (reason: unknown): void => void rejections.push(reason);
  process.on("unhandledRejection", rejected);
  onTestFinished(() => void process.off("unhandledRejection", rejected));

  const { clock, engine, errors, open, wire } = await createBench({
    push: [new FakeProvider()],
    limits: { topics: 2 },
    storage: memory({ retention: { maxEntries: 100 } }),
  });
  await engine.subscribe("bystander", { to: "*", channel: "news" });
  const bystander = await open("bystander", { deviceId: "bystander" });
  const published: string[] = [];
  const closes = new Map<number | undefined, number>();
  const codes = new Map<string, number>();

  for (let begun = 0; begun < SEQUENCES; begun += AT_ONCE) {
    const wires = Array.from({ length: AT_ONCE }, () => wire());
    for (const connection of wires) if (chance(0.9)) connection.hello(pick([...USERS.slice(0, 3), null]), hello());
    for (let round = 0; round < 3; round++) {
      if (round > 0) await clock.settle();
      for (const connection of wires) {
        if (chance(0.03)) connection.clogged = !connection.clogged;
        for (let i = below(3); i > 0; i--) connection.raw(...bytes(connection));
        if (chance(0.03)) connection.drained();
        if (chance(0.03)) pick([() => connection.leave(), () => connection.drop()])();
      }
      const content = `${begun} ${round}`;
      published.push(content);
      await engine.publish({ ...pick([{ to: "bystander" }, { to: "*", channel: "news" }]), content });
    }
    await clock.settle();
    bystander.ack();
    for (const connection of wires) {
      connection.drop();
      expect(connection.late).toBe(0);
      closes.set(connection.closedWith, (closes.get(connection.closedWith) ?? 0) + 1);
      for (const { code } of connection.of("error")) codes.set(code, (codes.get(code) ?? 0) + 1);
    }
    if (begun % 1_000 === 0) await clock.advance(20_000);
  }

  expect(rejections).toEqual([]);
  expect(errors).toEqual([]);
  expect(bystander.closedWith).toBeUndefined();
  const wanted = new Set(published);
  expect(bystander.contents.filter((content) => wanted.has(content!))).toEqual(published);
  // The sequences went everywhere: each outcome was met often, and none other.
  expect([...closes.keys()].sort()).toEqual([4100, 4101, 4102, 4103, 4104, 4105, undefined]);
  expect(codes.has("internal")).toBe(false);
  for (
    const code of [
      "bad-frame",
      "bad-order",
      "bad-name",
      "bad-message",
      "forbidden",
      "not-subscribed",
      "too-many",
      "no-provider",
      "unauthorized",
    ]
  ) {
    expect([code, codes.get(code)! > 50]).toEqual([code, true]);
  }
  expect(await engine.sessions("bystander")).toMatchObject([{ state: "connected.live" }]);
  await clock.advance(60_000);
  expect(engine.counters()).toMatchObject({ connections: 1, sessions: 1 });
}, 60_000);

test("every request of a connection that lives is answered once, also when refs are used again", async () => {
  const { clock, engine, open } = await createBench({ push: [new FakeProvider()] });
  for (let run = 0; run < 300; run++) {
    const sara = await open("sara", { deviceId: `${run}` });
    const asked = new Map<number, number>();
    for (let i = 0; i < 20; i++) {
      const request = frame(sara);
      if (!("ref" in request) || request.type === "logout") continue;
      sara.send(request);
      asked.set(request.ref, (asked.get(request.ref) ?? 0) + 1);
      if (chance(0.3)) await clock.settle();
    }
    await clock.settle();
    const answered = new Map<number, number>();
    for (const answer of [...sara.of("ok"), ...sara.of("error")]) answered.set(answer.ref!, (answered.get(answer.ref!) ?? 0) + 1);
    expect(sara.closedWith).toBeUndefined();
    expect([...answered].sort()).toEqual([...asked].sort());
    sara.leave();
  }
  expect(engine.counters().connections).toBe(0);
});
