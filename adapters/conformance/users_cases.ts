import { deepStrictEqual, notStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { DeviceLines, Handled, Progress, SessionRecord, UserParts, UserRecord, Users } from "../../src/ports/users.ts";
import type { NamesPage, Page } from "../../src/ports/page.ts";
import { asStored, newRow, positions, session, user } from "./records.ts";
import type { StorageCase } from "./stage.ts";

const topic = "*/news";
const start: Page = { after: undefined, limit: 100 };
const subscribed = { [topic]: { epoch: 5, offset: 0 } };
/** All that a device may say of its target. */
const details = {
  app: "org.example.app",
  environment: "sandbox",
  keyId: "k1",
  locale: "fa-IR",
  timeZone: "Asia/Tehran",
  reports: ["shown", "opened"],
} as const;
/** Requests of a device, as they were answered. */
const lines: DeviceLines = {
  lines: [
    {
      id: "kJ3v0mQ9sT4xY7bC",
      last: 2 ** 40,
      usedAt: 8_640_000_000_000_000,
      answers: [
        { number: 2 ** 40 - 2, what: "subscribe */اخبار", value: { epoch: 4_294_967_295, offset: 2 ** 52, recovered: false } },
        { number: 2 ** 40 - 1, what: "target fcm", value: null },
        { number: 2 ** 40, what: "m\u00e9", error: { code: "too-many", retryable: true, retryAfterMs: 5, hint: "Later." } },
      ],
    },
    { id: "other", last: 1, usedAt: 1, answers: [{ number: 1, what: "m1", error: { code: "forbidden", retryable: false } }] },
  ],
  forgottenUpTo: 7,
};
const targets = [{ id: "target", provider: "p", token: "x", registeredAt: 1 }];
const away: SessionRecord = session("device", { node: null, targets });
const here: SessionRecord = session("device", { node: "node-1" });

/** What a person has dealt with: as much as may be kept of a topic, and as little. */
const handled: Readonly<Record<string, Handled>> = {
  "sara/default": {
    epoch: 4_294_967_295,
    read: 2 ** 52,
    ranges: [...Array.from({ length: 7 }, (_, index) => [2 ** 52 + 10 * index, 2 ** 52 + 10 * index + 3] as const), [
      Number.MAX_SAFE_INTEGER - 1,
      Number.MAX_SAFE_INTEGER,
    ]],
    unsure: [
      { device: "d_téléphone", after: 2 ** 52 + 3, to: Number.MAX_SAFE_INTEGER, until: 8_640_000_000_000_000 },
      { device: "tablet", after: 1, to: 2, until: 3 },
    ],
  },
  "*/اخبار": { epoch: 1, read: 0, ranges: [[0, 1]] },
  "*/😀 e\u0301": { epoch: 2, read: 7, ranges: [] },
};

/** How far a device is: likewise. */
const progress: Readonly<Record<string, Progress>> = {
  "sara/default": {
    epoch: 4_294_967_295,
    from: 2 ** 40,
    acked: 2 ** 52,
    shown: 2 ** 51,
    failed: [...Array.from({ length: 7 }, (_, index) => 2 ** 40 + index + 1), 2 ** 52],
    decided: Number.MAX_SAFE_INTEGER,
  },
  "*/اخبار": { epoch: 1, from: 3, acked: 5, shown: 4, failed: [5], decided: 6 },
  "*/😀 e\u0301": { epoch: 2, from: 0, acked: 0, shown: 0, decided: 0 },
};

async function put(users: Users, record: UserRecord, parts: UserParts = "both"): Promise<UserRecord> {
  const versions = await users.put(record, parts);
  notStrictEqual(versions, undefined, "the put was refused");
  return asStored(record, versions!);
}

/** The record with other positions of the same version. */
function moved(record: UserRecord, fields: Partial<UserRecord["positions"]>): UserRecord {
  return { ...record, positions: { ...record.positions, ...fields } };
}

/** How far a phone is that acked up to there. */
function ackedAt(offset: number): UserRecord["positions"]["progress"] {
  return { phone: { [topic]: { epoch: 5, from: 0, acked: offset, shown: 0, decided: 0 } } };
}

/** All pages of a look-up. */
async function pages(look: (page: Page) => Promise<NamesPage>, limit: number): Promise<string[]> {
  const all: string[] = [];
  let after: string | undefined;
  for (let page = 0; page < 1_000; page++) {
    const { names, next } = await look({ after, limit });
    strictEqual(names.length <= limit, true, "a page no longer than asked for");
    all.push(...names);
    if (next === undefined) return all;
    after = next;
  }
  throw new Error("pages come to an end");
}

/** What a Users must do. */
export const usersCases: readonly Omit<StorageCase, "port">[] = [
  {
    name: "gives back what was put, whole, with its new version",
    async run({ storage: { users } }) {
      strictEqual(await users.get("sara"), undefined);
      const record = user("sara", {
        seenAt: 17,
        subscriptions: {
          "sara/default": { epoch: 4_294_967_295, offset: 9_007_199_254_740_991 },
          "*/اخبار": { epoch: 1, offset: 0 },
        },
        sessions: [
          session("phone", {
            targets: [
              { id: "t1", provider: "webhook", token: "tok\u0000en", registeredAt: 3 },
              { id: "t2", provider: "fcm", token: "x", registeredAt: 4, disabled: { reason: "gone", at: 5 } },
              { id: "t3", provider: "apns", token: "y", registeredAt: 6, ...details },
            ],
            lines,
          }),
          session("tab", { temporary: true }),
          here,
        ],
        positions: positions({
          progress: { phone: { "sara/default": { epoch: 7, from: 1, acked: 3, shown: 2, decided: 4 } } },
          handled: { "sara/default": { epoch: 7, read: 2, ranges: [] } },
        }),
      });
      const stored = await put(users, record);
      strictEqual(stored.version > 0 && stored.positions.version > 0, true);
      deepStrictEqual(await users.get("sara"), stored);
    },
  },
  {
    name: "gives back what is handled and how far each device is, whole",
    async run({ storage: { users } }) {
      const tablet = { "sara/default": { epoch: 7, from: 0, acked: 9, shown: 0, decided: 9 } };
      const sessions = [session("phone"), session("tablet")];
      const first = await put(
        users,
        user("sara", { sessions, positions: positions({ progress: { phone: progress, tablet }, handled }) }),
      );
      deepStrictEqual(await users.get("sara"), first);
      const second = await put(users, moved(first, { progress: { tablet }, handled: {} }), "positions");
      deepStrictEqual(await users.get("sara"), second);
    },
  },
  {
    name: "takes a put that moves only what is handled for one more version",
    async run({ storage: { users } }) {
      const subscriptions = { ...subscribed, "sara/default": { epoch: 4_294_967_295, offset: 0 } };
      const first = await put(users, user("sara", { subscriptions, sessions: [away, session("phone", { node: "node-1" })] }));
      const second = await put(users, moved(first, { handled }), "positions");
      notStrictEqual(second.positions.version, first.positions.version);
      strictEqual(second.version, first.version);
      deepStrictEqual(await users.get("sara"), second);
      strictEqual(await users.put(moved(first, { handled: {} }), "positions"), undefined);
      deepStrictEqual(await users.get("sara"), second, "a put of the version before changes nothing that is handled");
      deepStrictEqual((await users.pushableMembers(topic, start)).names, ["sara"]);
      deepStrictEqual(await users.holders({ deviceId: "phone" }), ["sara"]);
      const third = await put(
        users,
        moved(second, { handled: { ...handled, [topic]: { epoch: 5, read: 1, ranges: [] } } }),
        "positions",
      );
      deepStrictEqual(await users.get("sara"), third);
    },
  },
  {
    name: "refuses a put of a version that is not the stored one, and changes nothing",
    async run({ storage: { users, outbox } }) {
      for (const [devices, positions] of [[3, 3], [3, 0], [0, 3]] as const) {
        strictEqual(await users.put(asStored(user("sara"), { devices, positions }), "both"), undefined);
      }
      strictEqual(await users.get("sara"), undefined);
      const first = await put(users, user("sara", { subscriptions: subscribed, sessions: [here] }));
      const second = await put(users, { ...first, seenAt: 2 });
      notStrictEqual(second.version, first.version);
      const stale = { ...first, seenAt: 3, sessions: [session("stolen", { node: null })] };
      strictEqual(await users.put(stale, "both", [newRow("row", { userId: "sara" })]), undefined);
      strictEqual(await users.put({ ...stale, version: 0 }, "both"), undefined);
      deepStrictEqual(await users.get("sara"), second);
      deepStrictEqual((await users.pushableMembers(topic, start)).names, []);
      deepStrictEqual(await users.holders({ deviceId: "stolen" }), []);
      deepStrictEqual((await outbox.due(Infinity, 10)).rows, []);
    },
  },
  {
    name: "lets one of several puts at once win",
    async run({ storage: { users } }) {
      const first = await put(users, user("sara"));
      const versions = await Promise.all(
        Array.from({ length: 10 }, (_, index) => users.put({ ...first, seenAt: index + 1 }, "both")),
      );
      const winner = versions.findIndex((version) => version !== undefined);
      strictEqual(versions.filter((version) => version !== undefined).length, 1);
      deepStrictEqual(await users.get("sara"), asStored({ ...first, seenAt: winner + 1 }, versions[winner]!));
    },
  },
  {
    name: "treats records as values",
    async run({ storage: { users } }) {
      const given = user("sara", { subscriptions: subscribed, sessions: [away] });
      const copy = structuredClone(given);
      const first = await put(users, given);
      deepStrictEqual(given, copy, "the record it was given");
      const got = await users.get("sara");
      const gotCopy = structuredClone(got);
      await put(users, { ...first, seenAt: 99, sessions: [] });
      deepStrictEqual(got, gotCopy, "the record it handed out");
    },
  },
  {
    name: "forgets a user of that version only, and all look-ups with it",
    async run({ storage: { users } }) {
      const first = await put(users, user("sara"));
      const second = await put(users, {
        ...first,
        subscriptions: subscribed,
        sessions: [
          away,
          session("other", { node: "node-9", targets: [{ id: "t", provider: "p", token: "x", registeredAt: 1 }] }),
        ],
      });
      strictEqual(await users.remove("sara", first.version), false);
      deepStrictEqual(await users.get("sara"), second);
      strictEqual(await users.remove("sara", second.version), true);
      strictEqual(await users.remove("sara", second.version), false);
      strictEqual(await users.get("sara"), undefined);
      deepStrictEqual((await users.pushableMembers(topic, start)).names, []);
      deepStrictEqual(await users.holders({ deviceId: "device" }), []);
      deepStrictEqual(await users.holders({ targetId: "t" }), []);
      deepStrictEqual((await users.unseenSince(Infinity, start)).names, []);
      deepStrictEqual((await users.orphans(start)).names, []);
    },
  },
  {
    name: "does not take a user who came back for the one who was removed",
    async run({ storage: { users } }) {
      const first = await put(users, user("sara"));
      await users.remove("sara", first.version);
      const second = await put(users, user("sara", { seenAt: 2 }));
      strictEqual(await users.put({ ...first, seenAt: 3 }, "both"), undefined);
      deepStrictEqual(await users.get("sara"), second);
    },
  },
  {
    name: "writes the part that is named, and leaves the other as it is",
    async run({ storage: { users } }) {
      const first = await put(users, user("sara", { subscriptions: subscribed, sessions: [here] }));
      const changed = { ...moved(first, { progress: ackedAt(1), handled }), seenAt: 9, sessions: [away] };
      const second = await put(users, changed, "positions");
      deepStrictEqual(await users.get("sara"), { ...first, positions: second.positions });
      strictEqual(second.version, first.version);
      notStrictEqual(second.positions.version, first.positions.version);
      deepStrictEqual((await users.pushableMembers(topic, start)).names, [], "the look-ups are of what is stored");
      const third = await put(users, moved({ ...second, sessions: [away] }, { progress: ackedAt(2), handled: {} }), "devices");
      deepStrictEqual(await users.get("sara"), { ...third, positions: second.positions });
      strictEqual(third.positions.version, second.positions.version);
      notStrictEqual(third.version, second.version);
      deepStrictEqual((await users.pushableMembers(topic, start)).names, ["sara"]);
    },
  },
  {
    name: "takes one part whatever became of the other since it was read",
    async run({ storage: { users } }) {
      const read = await put(users, user("sara", { sessions: [here] }));
      const devices = await put(users, { ...read, sessions: [here, session("tablet")] }, "devices");
      const acked = await put(users, moved(read, { progress: ackedAt(1) }), "positions");
      strictEqual(acked.version, read.version, "of the part that is not written the version that was given");
      const renamed = await put(users, { ...devices, seenAt: 8 }, "devices");
      deepStrictEqual(await users.get("sara"), { ...renamed, positions: acked.positions });
      strictEqual(await users.put({ ...read, seenAt: 9 }, "devices"), undefined);
      strictEqual(await users.put(moved(read, { progress: ackedAt(9) }), "positions"), undefined);
      deepStrictEqual(await users.get("sara"), { ...renamed, positions: acked.positions });
    },
  },
  {
    name: "lets puts of both parts at once through",
    async run({ storage: { users } }) {
      let record = await put(users, user("sara", { sessions: [here] }));
      for (let turn = 1; turn <= 10; turn++) {
        const [devices, acked] = await Promise.all([
          users.put({ ...record, seenAt: turn }, "devices"),
          users.put(moved(record, { progress: ackedAt(turn) }), "positions"),
        ]);
        notStrictEqual(devices, undefined);
        notStrictEqual(acked, undefined);
        const versions = { devices: devices!.devices, positions: acked!.positions };
        record = asStored(moved({ ...record, seenAt: turn }, { progress: ackedAt(turn) }), versions);
        deepStrictEqual(await users.get("sara"), record);
      }
    },
  },
  {
    name: "adds rows only where neither part has changed",
    async run({ storage: { users, outbox } }) {
      const rows = [newRow("row", { userId: "sara" })];
      const read = await put(users, user("sara", { sessions: [here] }));
      const devices = await put(users, { ...read, sessions: [away] }, "devices");
      const stale = moved(read, { progress: ackedAt(1) });
      strictEqual(await users.put(stale, "positions", rows), undefined);
      deepStrictEqual(await users.get("sara"), devices);
      const acked = await put(users, moved(devices, { progress: ackedAt(2) }), "positions");
      strictEqual(await users.put({ ...devices, seenAt: 9 }, "devices", rows), undefined);
      deepStrictEqual(await users.get("sara"), acked);
      deepStrictEqual((await outbox.due(Infinity, 10)).rows, []);
      const decided = moved(acked, { progress: ackedAt(3) });
      const versions = await users.put(decided, "positions", rows);
      deepStrictEqual(await users.get("sara"), asStored(decided, versions!));
      deepStrictEqual((await outbox.due(Infinity, 10)).rows.map(({ id }) => id), ["row"]);
      const left = { ...asStored(decided, versions!), seenAt: 10 };
      const last = await users.put(left, "devices", [newRow("other", { userId: "sara" })]);
      deepStrictEqual(await users.get("sara"), asStored(left, last!));
      deepStrictEqual((await outbox.due(Infinity, 10)).rows.map(({ id }) => id).sort(), ["other", "row"]);
    },
  },
  {
    name: "writes both parts or none of them",
    async run({ storage: { users, outbox } }) {
      const read = await put(users, user("sara", { subscriptions: subscribed, sessions: [here] }));
      const acked = await put(users, moved(read, { progress: ackedAt(1) }), "positions");
      const change = { seenAt: 9, sessions: [away, session("stolen")] };
      const rows = [newRow("row", { userId: "sara" })];
      for (const some of [[], rows]) {
        strictEqual(await users.put(moved({ ...read, ...change }, { progress: ackedAt(9) }), "both", some), undefined);
        deepStrictEqual(await users.get("sara"), acked);
      }
      const devices = await put(users, { ...acked, seenAt: 8 }, "devices");
      for (const some of [[], rows]) {
        strictEqual(await users.put(moved({ ...acked, ...change }, { progress: ackedAt(9) }), "both", some), undefined);
        deepStrictEqual(await users.get("sara"), devices);
      }
      deepStrictEqual((await users.pushableMembers(topic, start)).names, []);
      deepStrictEqual(await users.holders({ deviceId: "stolen" }), []);
      deepStrictEqual((await outbox.due(Infinity, 10)).rows, []);
      const whole = moved({ ...devices, ...change }, { progress: ackedAt(9) });
      const versions = await users.put(whole, "both", rows);
      deepStrictEqual(await users.get("sara"), asStored(whole, versions!));
      deepStrictEqual((await outbox.due(Infinity, 10)).rows.map(({ id }) => id), ["row"]);
    },
  },
  {
    name: "reads nothing of devices without the positions that were put with them",
    async run({ storage: { users } }) {
      const record = (turn: number): UserRecord =>
        user("sara", { seenAt: turn, positions: positions({ progress: ackedAt(turn) }) });
      let last = await put(users, record(1));
      let isDone = false;
      const reading = Array.from({ length: 4 }, async () => {
        while (!isDone) {
          const { seenAt, positions } = (await users.get("sara"))!;
          strictEqual(positions.progress.phone![topic]!.acked >= seenAt, true, "the positions are as new as the devices");
          // What is read at once must not keep what is written from being answered.
          await new Promise((resolve) => setTimeout(resolve, 0));
        }
      });
      try {
        for (let turn = 2; turn <= 100; turn++) {
          const versions = { devices: last.version, positions: last.positions.version };
          last = await put(users, asStored(record(turn), versions));
          last = await put(users, { ...last, sessions: turn % 2 === 0 ? [here] : [] }, "devices");
        }
      } finally {
        isDone = true;
        await Promise.all(reading);
      }
    },
  },
  {
    name: "puts who is not stored as a whole",
    async run({ storage: { users, outbox } }) {
      const sara = user("sara", { subscriptions: subscribed, sessions: [away], positions: positions({ progress: ackedAt(1) }) });
      for (const parts of ["devices", "positions"] as const) {
        strictEqual(await users.put(sara, parts), undefined);
        strictEqual(await users.put(sara, parts, [newRow("row", { userId: "sara" })]), undefined);
      }
      strictEqual(await users.get("sara"), undefined);
      deepStrictEqual((await users.pushableMembers(topic, start)).names, []);
      deepStrictEqual((await outbox.due(Infinity, 10)).rows, []);
      const stored = await put(users, sara);
      deepStrictEqual(await users.get("sara"), stored);
    },
  },
  {
    name: "forgets both parts of a user, however far the positions have moved",
    async run({ storage: { users } }) {
      const first = await put(users, user("sara", { positions: positions({ progress: ackedAt(1), handled }) }));
      const second = await put(users, moved(first, { progress: ackedAt(2) }), "positions");
      strictEqual(await users.remove("sara", second.version), true);
      strictEqual(await users.get("sara"), undefined);
      for (const former of [first, second]) {
        for (const parts of ["devices", "positions", "both"] as const) strictEqual(await users.put(former, parts), undefined);
      }
      const again = await put(users, user("sara", { seenAt: 3 }));
      deepStrictEqual(await users.get("sara"), again, "nothing of the former positions");
      for (const former of [first, second]) {
        for (const parts of ["devices", "positions", "both"] as const) strictEqual(await users.put(former, parts), undefined);
      }
      strictEqual(await users.remove("sara", second.version), false);
      deepStrictEqual(await users.get("sara"), again);
    },
  },
  {
    name: "keeps how far devices are, whatever they are called",
    async run({ storage: { users } }) {
      const at = ackedAt(3).phone!;
      const names = ["__proto__", "constructor", "toString", "a.b", "é", "e\u0301", "1"];
      const progress = Object.fromEntries(names.map((name) => [name, at]));
      const record = await put(users, user("sara", { positions: positions({ progress }) }));
      deepStrictEqual(Object.keys((await users.get("sara"))!.positions.progress).sort(), [...names].sort());
      const second = await put(
        users,
        moved(record, { progress: { ...progress, ["__proto__"]: ackedAt(4).phone! } }),
        "positions",
      );
      deepStrictEqual(await users.get("sara"), second);
    },
  },
  {
    name: "lists as pushable who is subscribed and has a session on no node",
    async run({ storage: { users } }) {
      await put(users, user("away", { subscriptions: subscribed, sessions: [away] }));
      await put(users, user("both", { subscriptions: subscribed, sessions: [here, { ...away, deviceId: "tablet" }] }));
      await put(users, user("here", { subscriptions: subscribed, sessions: [here] }));
      await put(users, user("no-session", { subscriptions: subscribed }));
      await put(users, user("elsewhere", { subscriptions: { "*/sport": { epoch: 1, offset: 0 } }, sessions: [away] }));
      deepStrictEqual((await users.pushableMembers(topic, start)).names.sort(), ["away", "both"]);
      deepStrictEqual((await users.pushableMembers("*/sport", start)).names, ["elsewhere"]);
      deepStrictEqual((await users.pushableMembers("*/unknown", start)).names, []);
    },
  },
  {
    name: "lists as pushable who has a session that is leaving, and as its node's own until it has left",
    async run({ storage: { users } }) {
      const list = async () => (await users.pushableMembers(topic, start)).names;
      const leaving: SessionRecord = { ...here, targets, leaving: true };
      let record = await put(users, user("sara", { subscriptions: subscribed, sessions: [leaving] }));
      deepStrictEqual(await users.get("sara"), record);
      deepStrictEqual(await list(), ["sara"]);
      deepStrictEqual((await users.orphans(start)).names, ["sara"], "its node has no lease");
      record = await put(users, { ...record, sessions: [here] });
      deepStrictEqual(await list(), []);
      record = await put(users, { ...record, sessions: [here, { ...leaving, deviceId: "other" }] });
      deepStrictEqual(await list(), ["sara"]);
      record = await put(users, { ...record, subscriptions: {} });
      deepStrictEqual(await list(), []);
      record = await put(users, { ...record, subscriptions: subscribed });
      deepStrictEqual(await list(), ["sara"]);
      await put(users, { ...record, sessions: [here, { ...away, deviceId: "other" }] });
      deepStrictEqual(await list(), ["sara"]);
    },
  },
  {
    name: "lists a user as pushable only for a target that is not disabled, of a session that no node holds",
    async run({ storage: { users } }) {
      const list = async () => (await users.pushableMembers(topic, start)).names;
      const dead = { id: "dead", provider: "p", token: "y", registeredAt: 1, disabled: { reason: "gone", at: 2 } };
      const none = session("device", { node: null });
      let record = await put(users, user("sara", { subscriptions: subscribed, sessions: [none] }));
      const steps: [SessionRecord[], boolean][] = [
        [[{ ...none, targets: [dead] }], false],
        [[{ ...none, targets: [dead, ...targets] }], true],
        [[none, { ...here, targets }], false],
        [[none, { ...here, deviceId: "tablet", targets }, { ...away, deviceId: "phone" }], true],
        [[{ ...here, targets: [dead], leaving: true }], false],
        [[{ ...here, targets, leaving: true }], true],
        [[{ ...none, targets: [dead] }], false],
      ];
      deepStrictEqual(await list(), []);
      for (const [sessions, isPushable] of steps) {
        record = await put(users, { ...record, sessions }, "devices");
        deepStrictEqual(await list(), isPushable ? ["sara"] : []);
      }
    },
  },
  {
    name: "keeps the pushable members in step with every put",
    async run({ storage: { users } }) {
      const list = async () => (await users.pushableMembers(topic, start)).names;
      let record = await put(users, user("sara", { subscriptions: subscribed, sessions: [away] }));
      deepStrictEqual(await list(), ["sara"]);
      record = await put(users, { ...record, sessions: [here] });
      deepStrictEqual(await list(), []);
      record = await put(users, { ...record, sessions: [away] });
      deepStrictEqual(await list(), ["sara"]);
      record = await put(users, { ...record, subscriptions: {} });
      deepStrictEqual(await list(), []);
      record = await put(users, { ...record, subscriptions: subscribed });
      deepStrictEqual(await list(), ["sara"]);
      await put(users, { ...record, sessions: [] });
      deepStrictEqual(await list(), []);
    },
  },
  {
    name: "pages pushable members with none left out and none twice, also while some leave",
    async run({ storage: { users } }) {
      const names = Array.from({ length: 50 }, (_, index) => `user ${(index * 7919) % 1000} ë`);
      for (const name of names) await put(users, user(name, { subscriptions: subscribed, sessions: [away] }));
      const all = await pages((page) => users.pushableMembers(topic, page), 7);
      deepStrictEqual([...all].sort(), [...names].sort());
      deepStrictEqual(await pages((page) => users.pushableMembers(topic, page), 7), all, "the order is fixed");
      // Whoever the last page ended with may be gone when the next one is asked for.
      const rest = await pages(async (page) => {
        const found = await users.pushableMembers(topic, page);
        for (const name of found.names) {
          const record = (await users.get(name))!;
          await put(users, { ...record, sessions: [here] });
        }
        return found;
      }, 7);
      deepStrictEqual(rest, all);
    },
  },
  {
    name: "finds who has a device or a push target, through every put",
    async run({ storage: { users } }) {
      const withTarget = session("phone", { targets: [{ id: "t1", provider: "p", token: "x", registeredAt: 1 }] });
      const sara = await put(users, user("sara", { sessions: [withTarget] }));
      const omid = await put(users, user("omid", { sessions: [withTarget] }));
      deepStrictEqual((await users.holders({ deviceId: "phone" })).sort(), ["omid", "sara"]);
      deepStrictEqual((await users.holders({ targetId: "t1" })).sort(), ["omid", "sara"]);
      const moved = session("phone", { targets: [{ id: "t2", provider: "p", token: "y", registeredAt: 2 }] });
      await put(users, { ...sara, sessions: [moved] });
      await put(users, { ...omid, sessions: [] });
      deepStrictEqual(await users.holders({ deviceId: "phone" }), ["sara"]);
      deepStrictEqual(await users.holders({ targetId: "t1" }), []);
      deepStrictEqual(await users.holders({ targetId: "t2" }), ["sara"]);
      deepStrictEqual(await users.holders({ deviceId: "t2" }), []);
    },
  },
  {
    name: "pages users unseen since a time",
    async run({ storage: { users } }) {
      for (let index = 1; index <= 20; index++) await put(users, user(`user ${index}`, { seenAt: index * 10 }));
      const unseen = await pages((page) => users.unseenSince(100, page), 4);
      deepStrictEqual(unseen.sort(), Array.from({ length: 9 }, (_, index) => `user ${index + 1}`).sort());
      const record = (await users.get("user 1"))!;
      await put(users, { ...record, seenAt: 500 });
      strictEqual((await users.unseenSince(100, start)).names.includes("user 1"), false);
    },
  },
  {
    name: "lists as orphans who has a session on a node without a live lease",
    async run({ storage: { users }, clock }) {
      await users.lease("node-1", 10_000);
      deepStrictEqual(await users.liveNodes(), ["node-1"]);
      await put(users, user("here", { sessions: [here] }));
      await put(users, user("away", { sessions: [away] }));
      await put(users, user("lost", { sessions: [away, session("b", { node: "node-2" })] }));
      deepStrictEqual((await users.orphans(start)).names, ["lost"]);
      await clock.advance(9_999);
      deepStrictEqual((await users.orphans(start)).names, ["lost"]);
      await users.lease("node-1", 10_000);
      await clock.advance(9_999);
      deepStrictEqual((await users.orphans(start)).names, ["lost"]);
      await clock.advance(1);
      deepStrictEqual(await users.liveNodes(), []);
      deepStrictEqual(await pages((page) => users.orphans(page), 1), (await users.orphans(start)).names);
      deepStrictEqual((await users.orphans(start)).names.sort(), ["here", "lost"]);
      await put(users, { ...(await users.get("lost"))!, sessions: [away] });
      deepStrictEqual((await users.orphans(start)).names, ["here"]);
    },
  },
  {
    name: "keeps names apart that look alike",
    async run({ storage: { users } }) {
      const names = ["a.b", "a b", "A.B", "a%2eb", "\u00e9", "e\u0301", "سارا", "x'; --", "😀"];
      for (const [index, name] of names.entries()) await put(users, user(name, { seenAt: index + 1 }));
      for (const [index, name] of names.entries()) strictEqual((await users.get(name))?.seenAt, index + 1);
      deepStrictEqual((await pages((page) => users.unseenSince(Infinity, page), 2)).sort(), [...names].sort());
    },
  },
  {
    name:
      "takes no more memory, if it says how much that is, for a user who is read and written again, and none for one who is gone",
    async run({ storage }) {
      const { users } = storage;
      const held = (): number => storage.heldBytes?.() ?? 0;
      let record = await put(users, user("sara", { seenAt: 100, sessions: [away] }));
      await users.get("sara");
      const once = held();
      ok(Number.isFinite(once) && once >= 0, `it says ${once} bytes`);
      for (let seenAt = 101; seenAt < 150; seenAt++) {
        record = await put(users, { ...record, seenAt });
        await users.get("sara");
      }
      ok(held() <= 2 * once, `${held()} bytes instead of ${once}`);
      strictEqual(await users.remove("sara", record.version), true);
      ok(held() <= once, `${held()} bytes after the user was removed`);
    },
  },
  {
    name: "keeps users and look-ups over a restart",
    durable: true,
    async run(stage) {
      const record = await put(
        stage.storage.users,
        user("sara", {
          subscriptions: subscribed,
          sessions: [session("phone", { node: null, targets: [{ id: "t", provider: "p", token: "x", registeredAt: 1 }] })],
        }),
      );
      const { users } = await stage.reopen();
      deepStrictEqual(await users.get("sara"), record);
      deepStrictEqual((await users.pushableMembers(topic, start)).names, ["sara"]);
      deepStrictEqual(await users.holders({ deviceId: "phone" }), ["sara"]);
      deepStrictEqual(await users.holders({ targetId: "t" }), ["sara"]);
      for (const parts of ["devices", "positions", "both"] as const) {
        strictEqual(
          await users.put(asStored(record, { devices: record.version - 1, positions: record.positions.version - 1 }), parts),
          undefined,
        );
      }
    },
  },
  {
    name: "keeps what is handled and how far each device is over a restart",
    durable: true,
    async run(stage) {
      const first = await put(
        stage.storage.users,
        user("sara", { sessions: [session("phone")], positions: positions({ progress: { phone: progress } }) }),
      );
      const second = await put(stage.storage.users, moved(first, { handled }), "positions");
      const { users } = await stage.reopen();
      deepStrictEqual(await users.get("sara"), second);
      strictEqual(await users.put(moved(first, { handled: {} }), "positions"), undefined);
      const third = await put(users, moved(second, { handled: {} }), "positions");
      deepStrictEqual(await users.get("sara"), third);
    },
  },
];
