import { deepStrictEqual, notStrictEqual, strictEqual } from "node:assert/strict";
import {
  type AddedRow,
  type CancelMatch,
  type Outbox,
  type OutboxRow,
  SENDING_MS,
  type TopicDecision,
} from "../../src/ports/outbox.ts";
import type { OpenStorage } from "../../src/ports/storage.ts";
import { newRow, user } from "./records.ts";
import type { StorageCase } from "./stage.ts";

/** Adds rows the only way there is: with a put. */
async function add({ users }: OpenStorage, ...rows: AddedRow[]): Promise<void> {
  const record = await users.get("sara") ?? user("sara");
  notStrictEqual(await users.put(record, "both", rows), undefined);
}

function ids(rows: readonly OutboxRow[]): string[] {
  return rows.map(({ id }) => id);
}

async function due(outbox: Outbox, now = Infinity): Promise<string[]> {
  return ids((await outbox.due(now, 100)).rows);
}

/** What an Outbox must do. */
export const outboxCases: readonly Omit<StorageCase, "port">[] = [
  {
    name: "gives back a row as it was added, pending",
    async run({ storage, clock }) {
      const row = newRow("row", {
        ...{ urgency: "very-low", coalesced: true, position: { epoch: 9, offset: 2 ** 40 } },
        ...{ provider: "another", after: 7, collapseKey: "key" },
      });
      await add(storage, row);
      const changedAt = clock.now();
      const want: OutboxRow = { ...row, status: "pending", attempts: 0, note: undefined, covers: [], changedAt };
      deepStrictEqual((await storage.outbox.due(0, 10)).rows, [want]);
      deepStrictEqual(await storage.outbox.ofMessage(row.messageId), [want]);
    },
  },
  {
    name: "lists pending rows by due time and says when the next is due",
    async run({ storage }) {
      const { outbox } = storage;
      deepStrictEqual(await outbox.due(1_000, 10), { rows: [], nextDueAt: undefined });
      await add(
        storage,
        newRow("c", { dueAt: 30 }),
        newRow("a", { dueAt: 10 }),
        newRow("d", { dueAt: 40 }),
        newRow("b", { dueAt: 20 }),
      );
      const page = async (now: number, limit: number) => {
        const { rows, nextDueAt } = await outbox.due(now, limit);
        return [ids(rows).join(""), nextDueAt];
      };
      deepStrictEqual(await page(9, 10), ["", 10]);
      deepStrictEqual(await page(30, 10), ["abc", 40]);
      deepStrictEqual(await page(30, 2), ["ab", 30]);
      deepStrictEqual(await page(40, 10), ["abcd", undefined]);
    },
  },
  {
    name: "leaves rows it knows as they are",
    async run({ storage, clock }) {
      const { outbox } = storage;
      await add(storage, newRow("row", { dueAt: 10 }), newRow("settled"), newRow("sending"));
      await outbox.settle(["settled"], "dropped", "acked");
      await outbox.take(["sending"]);
      await clock.advance(30 * 24 * 3600_000);
      for (let index = 0; index < 10; index++) await add(storage, newRow(`filler ${index}`, { expiresAt: 1, dueAt: 99 }));
      await add(storage, newRow("row", { dueAt: 99 }), newRow("settled"), newRow("sending"), newRow("new"));
      deepStrictEqual(await due(outbox, 50), ["new", "row"]);
      strictEqual((await outbox.ofMessage("message of settled"))[0]?.status, "dropped");
    },
  },
  {
    name: "lets one of several takes win",
    async run({ storage }) {
      const { outbox } = storage;
      await add(storage, newRow("row"));
      const taken = await Promise.all(Array.from({ length: 10 }, () => outbox.take(["row"])));
      deepStrictEqual(taken.filter((ids) => ids.length > 0), [["row"]]);
      deepStrictEqual(await outbox.take(["row"]), []);
      deepStrictEqual(await outbox.take(["unknown"]), []);
      deepStrictEqual(await due(outbox), []);
      const [row] = await outbox.ofMessage("message of row");
      deepStrictEqual([row?.status, row?.attempts], ["sending", 1]);
    },
  },
  {
    name: "brings a retried row back at its time, its tries counted",
    async run({ storage }) {
      const { outbox } = storage;
      await add(storage, newRow("row"), newRow("untaken", { dueAt: 5 }));
      await outbox.take(["row"]);
      await outbox.retry([{ id: "row", attempts: 1 }, { id: "unknown", attempts: 1 }], 700, "busy");
      await outbox.retry([{ id: "untaken", attempts: 0 }], 900, "busy");
      deepStrictEqual(await due(outbox, 699), ["untaken"]);
      strictEqual((await outbox.due(100, 10)).nextDueAt, 700);
      deepStrictEqual(await due(outbox, 700), ["untaken", "row"]);
      deepStrictEqual(await outbox.take(["row"]), ["row"]);
      const [row] = await outbox.ofMessage("message of row");
      deepStrictEqual([row?.attempts, row?.note, row?.dueAt], [2, "busy", 700]);
      await outbox.settle(["row"], "sent", "ok");
      await outbox.retry([{ id: "row", attempts: 2 }], 0, "late");
      deepStrictEqual(await due(outbox), ["untaken"]);
    },
  },
  {
    name: "gives back the attempt that is named, and no later one",
    async run({ storage }) {
      const { outbox } = storage;
      await add(storage, newRow("row"));
      await outbox.take(["row"]);
      await outbox.retry([{ id: "row", attempts: 1 }], 10, "busy");
      await outbox.take(["row"]);
      await outbox.retry([{ id: "row", attempts: 1 }], 20, "said twice");
      deepStrictEqual(await due(outbox), [], "the second attempt is under way");
      await outbox.retry([{ id: "row", attempts: 2 }], 30, "busy");
      deepStrictEqual(await due(outbox), ["row"]);
      strictEqual((await outbox.due(0, 1)).nextDueAt, 30);
    },
  },
  {
    name: "ends rows that are pending or sending, once",
    async run({ storage, clock }) {
      const { outbox } = storage;
      await add(storage, newRow("pending", { messageId: "m" }), newRow("sending", { messageId: "m" }), newRow("other"));
      await outbox.take(["sending"]);
      await clock.advance(5);
      await outbox.settle(["pending", "sending", "unknown"], "sent", "201");
      await outbox.settle(["pending"], "gone", "late");
      const rows = await outbox.ofMessage("m");
      deepStrictEqual(rows.map(({ status, note, changedAt }) => [status, note, changedAt]), [
        ["sent", "201", clock.now()],
        ["sent", "201", clock.now()],
      ]);
      deepStrictEqual(await due(outbox), ["other"]);
      deepStrictEqual(await outbox.take(["pending"]), []);
    },
  },
  {
    name: "says of rows that left as one push what the one that it is named after covers, and of no other row",
    async run({ storage }) {
      const { outbox } = storage;
      const target = { messageId: "m", coalesced: true };
      const rows = ["first", "second", "third", "alone", "waits", "taken", "dropped", "dropped too"];
      await add(storage, ...rows.map((id) => newRow(id, target)));
      for (const id of ["first", "second", "third", "alone", "taken"]) await outbox.take([id]);
      await outbox.settle([], "sent", "");
      await outbox.settle(["third", "first", "second"], "sent", "201");
      await outbox.settle(["alone"], "sent", "201");
      await outbox.settle(["dropped", "dropped too"], "dropped", "why");
      // What has ended stays as it is.
      await outbox.settle(["third", "alone"], "sent", "late");
      const found = (await outbox.ofMessage("m")).map(({ id, status, note, covers }) => [id, status, note, covers]);
      deepStrictEqual(found.sort(([a], [b]) => rows.indexOf(String(a)) - rows.indexOf(String(b))), [
        ["first", "sent", "201", []],
        ["second", "sent", "201", []],
        ["third", "sent", "201", ["first", "second"]],
        ["alone", "sent", "201", []],
        ["waits", "pending", undefined, []],
        ["taken", "sending", undefined, []],
        ["dropped", "dropped", "why", []],
        ["dropped too", "dropped", "why", []],
      ]);
      deepStrictEqual((await outbox.due(Infinity, 10)).rows.map(({ id, covers }) => [id, covers]), [["waits", []]]);
    },
  },
  {
    name: "keeps the handle of a push with the row that it is named after, and with no other",
    async run({ storage }) {
      const { outbox } = storage;
      const rows = ["first", "second", "alone", "without", "waits"];
      await add(storage, ...rows.map((id) => newRow(id, { messageId: "m" })));
      await outbox.take(["first", "second", "alone", "without"]);
      await outbox.settle(["second", "first"], "sent", "201", "https://push.example.org/m/1?k=é");
      await outbox.settle(["alone"], "sent", "201", "h".repeat(1_024));
      await outbox.settle(["without"], "sent", "201");
      // What has ended stays as it is.
      await outbox.settle(["without", "second"], "sent", "late", "late");
      const found = new Map((await outbox.ofMessage("m")).map((row) => [row.id, row]));
      deepStrictEqual(rows.map((id) => [id, found.get(id)?.handle, "handle" in found.get(id)!]), [
        ["first", undefined, false],
        ["second", "https://push.example.org/m/1?k=é", true],
        ["alone", "h".repeat(1_024), true],
        ["without", undefined, false],
        ["waits", undefined, false],
      ]);
    },
  },
  {
    name: "remembers a settled row until it expires",
    async run({ storage, clock }) {
      const { outbox } = storage;
      const row = newRow("row", { expiresAt: clock.now() + 1_000 });
      await add(storage, row);
      await outbox.settle(["row"], "sent", "");
      await clock.advance(999);
      await add(storage, row);
      await add(storage, row);
      deepStrictEqual(await due(outbox), []);
      strictEqual((await outbox.ofMessage(row.messageId))[0]?.status, "sent");
    },
  },
  {
    name: "keeps a pending row past its expiry, for the engine to end",
    async run({ storage, clock }) {
      await add(storage, newRow("row", { expiresAt: clock.now() + 1_000 }));
      await clock.advance(2_000);
      await add(storage, newRow("other", { dueAt: 99 }));
      deepStrictEqual(await due(storage.outbox, 50), ["row"]);
    },
  },
  {
    name: "drops the pending rows that match, and only those",
    async run({ storage }) {
      const { outbox } = storage;
      const all = [
        newRow("1"),
        newRow("2", { position: { epoch: 5, offset: 2 } }),
        newRow("3", { position: { epoch: 5, offset: 3 } }),
        newRow("tablet", { deviceId: "tablet", targetId: "target 2" }),
        newRow("news", { topic: "*/news" }),
        newRow("omid", { userId: "omid" }),
        newRow("sending"),
      ];
      await add(storage, ...all);
      await outbox.take(["sending"]);
      const cancelled = async (match: CancelMatch) => {
        const rows = await outbox.cancel(match, "why");
        for (const { status, note } of rows) deepStrictEqual([status, note], ["dropped", "why"]);
        return ids(rows).sort();
      };
      deepStrictEqual(await cancelled({ userId: "nobody" }), []);
      deepStrictEqual(await cancelled({ userId: "sara", deviceId: "tablet", topic: "*/news" }), []);
      deepStrictEqual(await cancelled({ userId: "sara", deviceId: "phone", topic: "*/news" }), ["news"]);
      deepStrictEqual(await cancelled({ userId: "sara", targetId: "target 2" }), ["tablet"]);
      deepStrictEqual(await cancelled({ userId: "sara", topic: "sara/default" }), ["1", "2", "3"]);
      deepStrictEqual(await due(outbox), ["omid"]);
      strictEqual((await outbox.ofMessage("message of 2"))[0]?.status, "dropped");
      strictEqual((await outbox.ofMessage("message of sending"))[0]?.status, "sending");
    },
  },
  {
    name: "drops by ids the user's pending rows that have them, and only those",
    async run({ storage }) {
      const { outbox } = storage;
      const message = { messageId: "m" };
      const rows = [
        ...["1", "2", "3", "sending", "sent", "stays"].map((id) => newRow(id, message)),
        newRow("id of\nthree 'lines'\n\"اخبار\" 😀", message),
        newRow("tablet", { ...message, deviceId: "tablet", targetId: "target 2" }),
        newRow("news", { ...message, topic: "*/news" }),
        newRow("omid", { ...message, userId: "omid" }),
      ];
      const record = user("omid");
      await add(storage, ...rows.filter(({ userId }) => userId === "sara"));
      notStrictEqual(await storage.users.put(record, "both", rows.filter(({ userId }) => userId === "omid")), undefined);
      await outbox.take(["sending"]);
      await outbox.settle(["sent"], "sent", "201");
      const cancelled = async (match: Omit<CancelMatch, "userId">, userId = "sara") => {
        const dropped = await outbox.cancel({ userId, ...match }, "why");
        for (const { status, note } of dropped) deepStrictEqual([status, note], ["dropped", "why"]);
        return ids(dropped).sort();
      };
      deepStrictEqual(await cancelled({ ids: [] }), [], "an empty list matches none");
      deepStrictEqual(await cancelled({ ids: ["sending", "sent", "unknown", "omid"] }), []);
      deepStrictEqual(await cancelled({ ids: ["1"] }, "omid"), [], "another user's");
      deepStrictEqual(await cancelled({ ids: ["1", "tablet", "news"], deviceId: "watch" }), []);
      deepStrictEqual(await cancelled({ ids: ["1", "tablet", "news"], targetId: "target 2" }), ["tablet"]);
      deepStrictEqual(await cancelled({ ids: ["1", "tablet", "news"], topic: "*/news" }), ["news"]);
      deepStrictEqual(await cancelled({ ids: ["2", "1", "2", "unknown"] }), ["1", "2"]);
      deepStrictEqual(await cancelled({ ids: ["1", "2"] }), [], "once");
      deepStrictEqual(await cancelled({ ids: [rows[6]!.id] }), [rows[6]!.id]);
      deepStrictEqual(await cancelled({ ids: ["omid"] }, "omid"), ["omid"]);
      deepStrictEqual((await due(outbox)).sort(), ["3", "stays"]);
      const left = (await outbox.ofMessage("m")).filter(({ status }) => status !== "dropped");
      deepStrictEqual(left.map(({ id, status, note }) => `${id} ${status} ${note}`).sort(), [
        "3 pending undefined",
        "sending sending undefined",
        "sent sent 201",
        "stays pending undefined",
      ]);
    },
  },
  {
    name: "says whether rows that match are under way, until they are settled or given back",
    async run({ storage }) {
      const { outbox } = storage;
      await add(
        storage,
        newRow("pending", { deviceId: "watch", targetId: "target 3" }),
        newRow("phone"),
        newRow("tablet", { deviceId: "tablet", targetId: "target 2", topic: "*/news", position: { epoch: 5, offset: 7 } }),
        newRow("omid", { userId: "omid" }),
      );
      const sara = { userId: "sara" };
      strictEqual(await outbox.underWay(sara), false, "nothing was taken yet");
      await outbox.take(["phone"]);
      await outbox.take(["tablet"]);
      const matching: CancelMatch[] = [sara, { ...sara, deviceId: "phone" }, { ...sara, targetId: "target 2" }, {
        ...sara,
        ...{ deviceId: "tablet", targetId: "target 2", topic: "*/news", ids: ["pending", "tablet"] },
      }, { ...sara, ids: ["unknown", "phone"] }];
      for (const match of matching) strictEqual(await outbox.underWay(match), true, JSON.stringify(match));
      const others: CancelMatch[] = [
        ...[{ userId: "omid" }, { userId: "nobody" }, { ...sara, deviceId: "watch" }, { ...sara, targetId: "target 3" }],
        ...[{ ...sara, deviceId: "phone", topic: "*/news" }, { ...sara, deviceId: "tablet", targetId: "target" }],
        ...[{ ...sara, ids: [] }, { ...sara, ids: ["pending", "omid", "unknown"] }, { userId: "omid", ids: ["phone"] }],
        { ...sara, deviceId: "phone", ids: ["tablet"] },
      ];
      for (const match of others) strictEqual(await outbox.underWay(match), false, JSON.stringify(match));
      await outbox.cancel(sara, "why");
      strictEqual(await outbox.underWay(sara), true, "what is under way is not dropped");
      await outbox.retry([{ id: "phone", attempts: 1 }], 9, "busy");
      strictEqual(await outbox.underWay({ ...sara, deviceId: "phone" }), false, "it was given back");
      strictEqual(await outbox.underWay({ ...sara, ids: ["phone"] }), false, "it was given back");
      await outbox.settle(["tablet"], "sent", "201");
      strictEqual(await outbox.underWay(sara), false, "it was settled");
    },
  },
  {
    name: "lists the pending rows of targets in all topics, whenever they are due",
    async run({ storage }) {
      const { outbox } = storage;
      await add(
        storage,
        newRow("now", { topic: "*/news" }),
        newRow("later", { dueAt: 1e15, silent: true }),
        newRow("second", { targetId: "target 2" }),
        newRow("sending"),
        newRow("settled"),
        newRow("elsewhere", { targetId: "target 3" }),
      );
      await outbox.take(["sending"]);
      await outbox.settle(["settled"], "dropped", "");
      const waiting = await outbox.waiting(["target", "target 2"]);
      deepStrictEqual(ids(waiting).sort(), ["later", "now", "second"]);
      deepStrictEqual(waiting.map(({ id, silent }) => silent === true ? id : "").join(""), "later");
      deepStrictEqual(await outbox.waiting(["unknown"]), []);
    },
  },
  {
    name: "lists the due rows of one provider, and when its next one is due",
    async run({ storage }) {
      const { outbox } = storage;
      const [a, b] = [{ provider: "a" }, { provider: "b" }];
      const rows = [newRow("a1", { ...a, dueAt: 10 }), newRow("b1", { ...b, dueAt: 20 }), newRow("a2", { ...a, dueAt: 30 })];
      await add(storage, ...rows, newRow("b2", { ...b, dueAt: 40 }));
      const page = async (now: number, limit: number, provider: string) => {
        const { rows, nextDueAt } = await outbox.due(now, limit, provider);
        return [ids(rows).join(" "), nextDueAt];
      };
      deepStrictEqual(await page(30, 10, "a"), ["a1 a2", undefined]);
      deepStrictEqual(await page(30, 1, "a"), ["a1", 30]);
      deepStrictEqual(await page(30, 10, "b"), ["b1", 40]);
      deepStrictEqual(await page(30, 10, "unknown"), ["", undefined]);
      await outbox.take(["a1"]);
      deepStrictEqual((await page(30, 10, "a"))[0], "a2");
    },
  },
  {
    name: "takes many rows at once, and says which",
    async run({ storage }) {
      const { outbox } = storage;
      const names = Array.from({ length: 150 }, (_, index) => `row ${index}`);
      await add(storage, ...names.map((id) => newRow(id)));
      await outbox.take(["row 7"]);
      await outbox.settle(["row 9"], "dropped", "");
      deepStrictEqual(await outbox.take([]), []);
      const others = names.filter((id) => id !== "row 7" && id !== "row 9");
      deepStrictEqual((await outbox.take([...names, "unknown"])).sort(), others.sort());
      deepStrictEqual(await due(outbox), []);
    },
  },
  {
    name: "lists the pending rows of targets in a topic, whenever they are due",
    async run({ storage }) {
      const { outbox } = storage;
      const other = { targetId: "target 2" };
      await add(
        storage,
        newRow("now"),
        newRow("later", { dueAt: 1e15, after: 0 }),
        newRow("topic", { topic: "*/news" }),
        newRow("other", other),
        newRow("third", { targetId: "target 3" }),
        newRow("sending"),
      );
      await outbox.take(["sending"]);
      deepStrictEqual(ids(await outbox.waiting(["target", "target 2", "unknown"], "sara/default")).sort(), [
        "later",
        "now",
        "other",
      ]);
      deepStrictEqual(ids(await outbox.waiting(["target"], "*/news")), ["topic"]);
      deepStrictEqual(await outbox.waiting([], "sara/default"), []);
    },
  },
  {
    name: "counts the rows of a topic that are pending and due by then, up to a limit",
    async run({ storage }) {
      const { outbox } = storage;
      const news = { topic: "*/news" };
      for (let index = 0; index < 5; index++) await add(storage, newRow(`news ${index}`, { ...news, dueAt: index }));
      await add(storage, newRow("elsewhere"));
      strictEqual(await outbox.waitingIn("*/news", 10, 100), 5);
      strictEqual(await outbox.waitingIn("*/news", 2, 100), 3);
      strictEqual(await outbox.waitingIn("*/news", 10, 4), 4);
      strictEqual(await outbox.waitingIn("*/nothing", 10, 4), 0);
      await outbox.take(["news 0"]);
      await outbox.settle(["news 1"], "dropped", "");
      strictEqual(await outbox.waitingIn("*/news", 10, 100), 3);
    },
  },
  {
    name: "puts off those of some rows that are pending and due sooner, none beyond its expiry, and says why",
    async run({ storage }) {
      const { outbox } = storage;
      await add(
        storage,
        newRow("soon", { dueAt: 10 }),
        newRow("later", { dueAt: 900 }),
        newRow("brief", { dueAt: 10, expiresAt: 300 }),
        newRow("other", { dueAt: 10 }),
        newRow("sending", { dueAt: 10 }),
        newRow("asked", { dueAt: 10 }),
      );
      await outbox.take(["sending", "asked"]);
      await outbox.retry([{ id: "asked", attempts: 1 }], 20, "busy");
      await outbox.postpone(["soon", "later", "brief", "sending", "asked", "unknown"], 500, "rests");
      await outbox.postpone([], 600, "nothing");
      const dueAt = (await outbox.due(Infinity, 10)).rows.map(({ id, dueAt, note }) => `${id} ${dueAt} ${note}`).sort();
      const expected = ["asked 500 busy", "brief 300 rests", "later 900 undefined", "other 10 undefined", "soon 500 rests"];
      deepStrictEqual(dueAt, expected);
      strictEqual((await outbox.ofMessage("message of sending"))[0]?.dueAt, 10);
    },
  },
  {
    name: "adds a row in the place of a pending one, for the entries of both",
    async run({ storage }) {
      const { outbox } = storage;
      const at = (offset: number) => ({ position: { epoch: 5, offset }, messageId: `m${offset}` });
      await add(storage, newRow("one", { ...at(4), after: 2 }));
      await add(storage, { ...newRow("two", { ...at(6), after: 5 }), replaces: "one" });
      deepStrictEqual((await outbox.due(Infinity, 10)).rows.map(({ id, after }) => [id, after]), [["two", 2]]);
      deepStrictEqual(await outbox.ofMessage("m4"), [], "as if it had never been there");
      await add(storage, { ...newRow("three", at(7)), replaces: "two" });
      deepStrictEqual((await outbox.due(Infinity, 10)).rows.map(({ id, after }) => [id, after]), [["three", 2]]);
      await add(storage, newRow("plain", { ...at(9), targetId: "target 2" }));
      await add(storage, { ...newRow("four", { ...at(10), after: 9, targetId: "target 2" }), replaces: "plain" });
      deepStrictEqual((await outbox.ofMessage("m10")).map(({ after }) => after), [8]);
    },
  },
  {
    name: "adds a row as it is when the one that it was to replace is not pending",
    async run({ storage }) {
      const { outbox } = storage;
      const at = (offset: number) => ({ position: { epoch: 5, offset }, messageId: `m${offset}` });
      await add(storage, newRow("taken", { ...at(4), after: 2 }), newRow("ended", { ...at(5), after: 2 }));
      await add(storage, newRow("back", { ...at(3), after: 1 }));
      await outbox.take(["taken", "back"]);
      await outbox.retry([{ id: "back", attempts: 1 }], 0, "busy");
      await outbox.settle(["ended"], "sent", "201");
      await add(
        storage,
        { ...newRow("two", { ...at(6), after: 5 }), replaces: "taken" },
        { ...newRow("three", { ...at(7), after: 6 }), replaces: "ended" },
        { ...newRow("alone", at(8)), replaces: "unknown" },
        { ...newRow("five", { ...at(9), after: 8 }), replaces: "back" },
      );
      const rows = (await outbox.due(Infinity, 10)).rows;
      deepStrictEqual(rows.map(({ id, after }) => [id, after]).sort(), [
        ...[["alone", undefined], ["back", 1], ["five", 8], ["three", 6], ["two", 5]],
      ]);
      strictEqual((await outbox.ofMessage("m4"))[0]?.status, "sending");
      strictEqual((await outbox.ofMessage("m5"))[0]?.status, "sent");
      // A write that is repeated.
      await add(storage, newRow("waits", at(11)), { ...newRow("two", { ...at(6), after: 5 }), replaces: "waits" });
      strictEqual((await outbox.ofMessage("m11")).length, 1);
    },
  },
  {
    name: "stores how far a topic is decided with rows, if its version is still that one",
    async run({ storage }) {
      const { outbox } = storage;
      const begun: TopicDecision = { topic: "*/news", version: 0, epoch: 5, decided: 1, goal: 9, pass: { to: 4, after: "omid" } };
      strictEqual(await outbox.decision("*/news"), undefined);
      const version = await outbox.decide(begun, [newRow("sara's"), newRow("omid's", { userId: "omid" })]);
      strictEqual(typeof version, "number");
      deepStrictEqual(await outbox.decision("*/news"), { ...begun, version });
      deepStrictEqual(await due(outbox), ["omid's", "sara's"]);
      strictEqual(await outbox.decide(begun, [newRow("late")]), undefined, "another one is stored");
      strictEqual(await outbox.decide({ ...begun, version: version! - 1 }, [newRow("late")]), undefined);
      deepStrictEqual((await due(outbox)).length, 2, "nothing was changed");
      const { pass: _, ...ended } = begun;
      const next = await outbox.decide({ ...ended, version: version!, decided: 4 }, [newRow("sara's"), newRow("more")]);
      strictEqual(next !== undefined && next !== version, true);
      deepStrictEqual(await outbox.decision("*/news"), { ...ended, version: next, decided: 4 });
      deepStrictEqual((await due(outbox)).sort(), ["more", "omid's", "sara's"]);
      strictEqual(await outbox.decision("*/other"), undefined);
    },
  },
  {
    name: "lists the topics that are not decided yet",
    async run({ storage }) {
      const { outbox } = storage;
      const names = ["*/a", "*/b", "*/c", "*/d", "*/ اخبار"];
      const versions = new Map<string, number>();
      for (const topic of names) {
        versions.set(
          topic,
          (await outbox.decide({ topic, version: 0, epoch: 5, decided: 1, goal: topic === "*/d" ? 1 : 2 }, []))!,
        );
      }
      const all = async (): Promise<string[]> => {
        const found: string[] = [];
        let after: string | undefined;
        do {
          const page = await outbox.undecided({ after, limit: 2 });
          strictEqual(page.names.length <= 2, true);
          found.push(...page.names);
          after = page.next;
        } while (after !== undefined);
        return found.sort();
      };
      deepStrictEqual(await all(), ["*/ اخبار", "*/a", "*/b", "*/c"].sort());
      await outbox.decide({ topic: "*/b", version: versions.get("*/b")!, epoch: 5, decided: 2, goal: 2 }, []);
      await outbox.decide({ topic: "*/d", version: versions.get("*/d")!, epoch: 5, decided: 1, goal: 3 }, []);
      deepStrictEqual(await all(), ["*/ اخبار", "*/a", "*/c", "*/d"].sort());
    },
  },
  {
    name: "keeps over a restart how far topics are decided",
    durable: true,
    async run(stage) {
      const { outbox } = stage.storage;
      const decision: TopicDecision = { topic: "*/news", version: 0, epoch: 5, decided: 1, goal: 9, pass: { to: 4 } };
      const version = await outbox.decide(decision, [newRow("row", { after: 0, provider: "b", collapseKey: "key" })]);
      const storage = await stage.reopen();
      deepStrictEqual(await storage.outbox.decision("*/news"), { ...decision, version });
      deepStrictEqual((await storage.outbox.undecided({ after: undefined, limit: 10 })).names, ["*/news"]);
      const [row] = (await storage.outbox.due(Infinity, 10)).rows;
      deepStrictEqual([row?.after, row?.provider, row?.collapseKey], [0, "b", "key"]);
    },
  },
  {
    name: "knows every row of a message, however it ended",
    async run({ storage }) {
      const { outbox } = storage;
      const message = { messageId: "m" };
      await add(storage, newRow("a", message), newRow("b", message), newRow("c", message), newRow("d"));
      await outbox.take(["a"]);
      await outbox.settle(["b"], "rejected", "bad token");
      deepStrictEqual((await outbox.ofMessage("m")).map(({ id, status }) => `${id} ${status}`).sort(), [
        "a sending",
        "b rejected",
        "c pending",
      ]);
      deepStrictEqual(await outbox.ofMessage("unknown"), []);
    },
  },
  {
    name: "finds some rows of a message by their ids, open or ended, and no others",
    async run({ storage }) {
      const { outbox } = storage;
      const message = { messageId: "m" };
      await add(storage, ...["a", "b", "c", "other"].map((id) => newRow(id, message)), newRow("d"));
      await outbox.take(["a"]);
      await outbox.settle(["b"], "sent", "ok");
      const found = async (...wanted: string[]): Promise<string[]> => {
        return (await outbox.ofMessage("m", wanted)).map(({ id, status }) => `${id} ${status}`).sort();
      };
      deepStrictEqual(await found("a", "b", "c", "a"), ["a sending", "b sent", "c pending"]);
      deepStrictEqual(await found("b"), ["b sent"]);
      deepStrictEqual(await found("d", "unknown"), []);
      deepStrictEqual(await found(), []);
    },
  },
  {
    name: "turns sending into pending at a restart and keeps the rest",
    durable: true,
    async run(stage) {
      await add(stage.storage, newRow("sending"), newRow("pending", { dueAt: 2 }), newRow("settled"));
      await stage.storage.outbox.take(["sending"]);
      await stage.storage.outbox.settle(["settled"], "sent", "ok");
      const storage = await stage.reopen();
      // At once where one process at a time is admitted; else another may still be asking.
      await stage.clock.advance(SENDING_MS);
      deepStrictEqual((await due(storage.outbox)).sort(), ["pending", "sending"]);
      strictEqual((await storage.outbox.ofMessage("message of sending"))[0]?.attempts, 1);
      await add(storage, newRow("settled"));
      strictEqual((await storage.outbox.ofMessage("message of settled"))[0]?.status, "sent");
    },
  },
  {
    name: "keeps no row waiting for longer than it was to wait when the clock is behind after a restart",
    durable: true,
    async run({ clock, reopen, storage }) {
      const now = clock.now();
      const expiresAt = now + 60_000;
      await add(storage, newRow("added", { dueAt: now + 1_000, expiresAt }), newRow("retried", { dueAt: now, expiresAt }));
      await storage.outbox.take(["retried"]);
      await storage.outbox.retry([{ id: "retried", attempts: 1 }], now + 2_000, "busy");
      clock.jump(-3_600_000);
      const { outbox } = await reopen();
      const dueIn = async (ms: number) => (await outbox.due(clock.now() + ms, 10)).rows.map(({ id }) => id);
      deepStrictEqual([await dueIn(999), await dueIn(1_000), await dueIn(1_999)], [[], ["added"], ["added"]]);
      const rows = (await outbox.due(clock.now() + 2_000, 10)).rows;
      deepStrictEqual(rows.map(({ dueAt, expiresAt, id }) => [id, dueAt - clock.now(), expiresAt - clock.now()]), [
        ["added", 1_000, 60_000],
        ["retried", 2_000, 60_000],
      ]);
    },
  },
  {
    name: "keeps the handle of a push over a restart",
    durable: true,
    async run(stage) {
      await add(stage.storage, newRow("row", { messageId: "m" }));
      await stage.storage.outbox.take(["row"]);
      await stage.storage.outbox.settle(["row"], "sent", "201", "handle");
      strictEqual((await (await stage.reopen()).outbox.ofMessage("m"))[0]?.handle, "handle");
    },
  },
  {
    name: "keeps over a restart what a push covers",
    durable: true,
    async run(stage) {
      const { outbox } = stage.storage;
      await add(stage.storage, ...["a", "b", "c", "pending"].map((id) => newRow(id, { messageId: "m" })));
      for (const id of ["a", "b", "c"]) await outbox.take([id]);
      await outbox.settle(["b", "c", "a"], "sent", "201");
      const storage = await stage.reopen();
      const covers = async () => (await storage.outbox.ofMessage("m")).map(({ id, covers }) => `${id} ${covers}`).sort();
      deepStrictEqual(await covers(), ["a ", "b c,a", "c ", "pending "]);
      await storage.outbox.settle(["pending"], "sent", "201");
      deepStrictEqual(await covers(), ["a ", "b c,a", "c ", "pending "]);
    },
  },
];
