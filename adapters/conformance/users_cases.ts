import { deepStrictEqual, notStrictEqual, strictEqual } from "node:assert/strict";
import type { Handled, Progress, SessionRecord, UserRecord, Users } from "../../src/ports/users.ts";
import type { NamesPage, Page } from "../../src/ports/page.ts";
import { newRow, session, user } from "./records.ts";
import type { StorageCase } from "./stage.ts";

const topic = "*/news";
const start: Page = { after: undefined, limit: 100 };
const subscribed = { [topic]: { epoch: 5, offset: 0 } };
const away: SessionRecord = session("device", { node: null });
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

async function put(users: Users, record: UserRecord): Promise<UserRecord> {
  const version = await users.put(record);
  notStrictEqual(version, undefined, "the put was refused");
  return { ...record, version: version! };
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
            ],
            progress: { "sara/default": { epoch: 7, from: 1, acked: 3, shown: 2, decided: 4 } },
          }),
          here,
        ],
      });
      const stored = await put(users, record);
      strictEqual(stored.version > 0, true);
      deepStrictEqual(await users.get("sara"), stored);
    },
  },
  {
    name: "gives back what is handled and how far each device is, whole",
    async run({ storage: { users } }) {
      const tablet = session("tablet", { progress: { "sara/default": { epoch: 7, from: 0, acked: 9, shown: 0, decided: 9 } } });
      const first = await put(users, user("sara", { handled, sessions: [session("phone", { progress }), tablet] }));
      deepStrictEqual(await users.get("sara"), first);
      const second = await put(users, { ...first, handled: {}, sessions: [session("phone"), tablet] });
      deepStrictEqual(await users.get("sara"), second);
    },
  },
  {
    name: "takes a put that moves only what is handled for one more version",
    async run({ storage: { users } }) {
      const subscriptions = { ...subscribed, "sara/default": { epoch: 4_294_967_295, offset: 0 } };
      const first = await put(users, user("sara", { subscriptions, sessions: [away, session("phone", { node: "node-1" })] }));
      const second = await put(users, { ...first, handled });
      notStrictEqual(second.version, first.version);
      deepStrictEqual(await users.get("sara"), second);
      strictEqual(await users.put({ ...first, handled: {} }), undefined);
      deepStrictEqual(await users.get("sara"), second, "a put of the version before changes nothing that is handled");
      deepStrictEqual((await users.awayMembers(topic, start)).names, ["sara"]);
      deepStrictEqual(await users.holders({ deviceId: "phone" }), ["sara"]);
      const third = await put(users, { ...second, handled: { ...handled, [topic]: { epoch: 5, read: 1, ranges: [] } } });
      deepStrictEqual(await users.get("sara"), third);
    },
  },
  {
    name: "refuses a put of a version that is not the stored one, and changes nothing",
    async run({ storage: { users, outbox } }) {
      strictEqual(await users.put(user("sara", { version: 3 })), undefined);
      strictEqual(await users.get("sara"), undefined);
      const first = await put(users, user("sara", { subscriptions: subscribed, sessions: [here] }));
      const second = await put(users, { ...first, seenAt: 2 });
      notStrictEqual(second.version, first.version);
      const stale = { ...first, seenAt: 3, sessions: [session("stolen", { node: null })] };
      strictEqual(await users.put(stale, [newRow("row", { userId: "sara" })]), undefined);
      strictEqual(await users.put({ ...stale, version: 0 }), undefined);
      deepStrictEqual(await users.get("sara"), second);
      deepStrictEqual((await users.awayMembers(topic, start)).names, []);
      deepStrictEqual(await users.holders({ deviceId: "stolen" }), []);
      deepStrictEqual((await outbox.due(Infinity, 10)).rows, []);
    },
  },
  {
    name: "lets one of several puts at once win",
    async run({ storage: { users } }) {
      const first = await put(users, user("sara"));
      const versions = await Promise.all(
        Array.from({ length: 10 }, (_, index) => users.put({ ...first, seenAt: index + 1 })),
      );
      const winner = versions.findIndex((version) => version !== undefined);
      strictEqual(versions.filter((version) => version !== undefined).length, 1);
      deepStrictEqual(await users.get("sara"), { ...first, seenAt: winner + 1, version: versions[winner] });
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
      deepStrictEqual((await users.awayMembers(topic, start)).names, []);
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
      strictEqual(await users.put({ ...first, seenAt: 3 }), undefined);
      deepStrictEqual(await users.get("sara"), second);
    },
  },
  {
    name: "lists as away who is subscribed and has a session on no node",
    async run({ storage: { users } }) {
      await put(users, user("away", { subscriptions: subscribed, sessions: [away] }));
      await put(users, user("both", { subscriptions: subscribed, sessions: [here, session("tablet", { node: null })] }));
      await put(users, user("here", { subscriptions: subscribed, sessions: [here] }));
      await put(users, user("no-session", { subscriptions: subscribed }));
      await put(users, user("elsewhere", { subscriptions: { "*/sport": { epoch: 1, offset: 0 } }, sessions: [away] }));
      deepStrictEqual((await users.awayMembers(topic, start)).names.sort(), ["away", "both"]);
      deepStrictEqual((await users.awayMembers("*/sport", start)).names, ["elsewhere"]);
      deepStrictEqual((await users.awayMembers("*/unknown", start)).names, []);
    },
  },
  {
    name: "lists as away who has a session that is leaving, and as its node's own until it has left",
    async run({ storage: { users } }) {
      const list = async () => (await users.awayMembers(topic, start)).names;
      const leaving: SessionRecord = { ...here, leaving: true };
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
      await put(users, { ...record, sessions: [here, session("other", { node: null })] });
      deepStrictEqual(await list(), ["sara"]);
    },
  },
  {
    name: "keeps the away members in step with every put",
    async run({ storage: { users } }) {
      const list = async () => (await users.awayMembers(topic, start)).names;
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
    name: "pages away members with none left out and none twice, also while some leave",
    async run({ storage: { users } }) {
      const names = Array.from({ length: 50 }, (_, index) => `user ${(index * 7919) % 1000} ë`);
      for (const name of names) await put(users, user(name, { subscriptions: subscribed, sessions: [away] }));
      const all = await pages((page) => users.awayMembers(topic, page), 7);
      deepStrictEqual([...all].sort(), [...names].sort());
      deepStrictEqual(await pages((page) => users.awayMembers(topic, page), 7), all, "the order is fixed");
      // Whoever the last page ended with may be gone when the next one is asked for.
      const rest = await pages(async (page) => {
        const found = await users.awayMembers(topic, page);
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
      deepStrictEqual((await users.awayMembers(topic, start)).names, ["sara"]);
      deepStrictEqual(await users.holders({ deviceId: "phone" }), ["sara"]);
      deepStrictEqual(await users.holders({ targetId: "t" }), ["sara"]);
      strictEqual(await users.put({ ...record, version: record.version - 1 }), undefined);
    },
  },
  {
    name: "keeps what is handled and how far each device is over a restart",
    durable: true,
    async run(stage) {
      const first = await put(stage.storage.users, user("sara", { sessions: [session("phone", { progress })] }));
      const second = await put(stage.storage.users, { ...first, handled });
      const { users } = await stage.reopen();
      deepStrictEqual(await users.get("sara"), second);
      strictEqual(await users.put({ ...first, handled: {} }), undefined);
    },
  },
];
