import type { OpenStorage } from "../../src/ports/storage.ts";
import type { Handled, Progress, UserRecord } from "../../src/ports/users.ts";
import type { NamesPage } from "../../src/ports/page.ts";
import type { Topic } from "../../src/protocol/names.ts";
import { type BrokenStorage, over, turn } from "./broken_storage.ts";

export const brokenUsers: readonly BrokenStorage[] = [
  {
    defect: "keeps records in part",
    caughtBy: ["users gives back what was put, whole, with its new version"],
    spoil: (storage) => ({
      ...storage,
      users: over(storage.users, {
        async get(userId) {
          const record = await storage.users.get(userId);
          return record && { ...record, sessions: record.sessions.map((session) => ({ ...session, progress: {} })) };
        },
      }),
    }),
  },
  {
    defect: "forgets what was handled",
    caughtBy: [
      "users gives back what is handled and how far each device is, whole",
      "users takes a put that moves only what is handled for one more version",
    ],
    spoil: (storage) => withHandled(storage, () => ({})),
  },
  {
    defect: "forgets of what it will only show whether a person was there",
    caughtBy: ["users gives back what is handled and how far each device is, whole"],
    spoil: (storage) => withHandled(storage, (handled) => each(handled, ({ unsure: _unsure, ...rest }) => rest)),
  },
  {
    defect: "keeps one range of what was handled",
    caughtBy: ["users gives back what is handled and how far each device is, whole"],
    spoil: (storage) => withHandled(storage, (handled) => each(handled, (one) => ({ ...one, ranges: one.ranges.slice(0, 1) }))),
  },
  {
    defect: "leaves out topics in which no range is handled",
    caughtBy: ["users gives back what is handled and how far each device is, whole"],
    spoil: (storage) =>
      withHandled(
        storage,
        (handled) => Object.fromEntries(Object.entries(handled).filter(([, { ranges }]) => ranges.length > 0)),
      ),
  },
  {
    defect: "keeps offsets in 32 bits",
    caughtBy: ["users gives back what is handled and how far each device is, whole"],
    spoil: (storage) => withHandled(storage, (handled) => each(handled, (one) => ({ ...one, read: one.read >>> 0 }))),
  },
  {
    defect: "takes topics for the same whose names look alike",
    caughtBy: ["users gives back what is handled and how far each device is, whole"],
    spoil: (storage) =>
      withHandled(
        storage,
        (handled) => Object.fromEntries(Object.entries(handled).map(([topic, one]) => [topic.normalize(), one])),
      ),
  },
  {
    defect: "keeps progress without `from`",
    caughtBy: ["users gives back what is handled and how far each device is, whole"],
    spoil: (storage) => withProgress(storage, (one) => ({ ...one, from: 0 })),
  },
  {
    defect: "forgets the device's `shown`",
    caughtBy: ["users gives back what is handled and how far each device is, whole"],
    spoil: (storage) => withProgress(storage, (one) => ({ ...one, shown: 0 })),
  },
  {
    defect: "takes all that a device acked for shown",
    caughtBy: ["users gives back what is handled and how far each device is, whole"],
    spoil: (storage) => withProgress(storage, (one) => ({ ...one, shown: one.acked })),
  },
  {
    defect: "forgets what a handler failed on",
    caughtBy: ["users gives back what is handled and how far each device is, whole"],
    spoil: (storage) => withProgress(storage, ({ failed: _failed, ...rest }) => rest),
  },
  {
    defect: "keeps what is handled beside the record, whatever the version",
    caughtBy: ["users takes a put that moves only what is handled for one more version"],
    spoil(storage) {
      const beside = new Map<string, UserRecord["handled"]>();
      return {
        ...storage,
        users: over(storage.users, {
          async get(userId) {
            const record = await storage.users.get(userId);
            return record && { ...record, handled: beside.get(userId) ?? {} };
          },
          put(record, rows) {
            beside.set(record.userId, record.handled);
            return storage.users.put(record, rows);
          },
        }),
      };
    },
  },
  {
    defect: "writes a record once more for what is handled",
    caughtBy: ["users takes a put that moves only what is handled for one more version"],
    spoil: (storage) => ({
      ...storage,
      users: over(storage.users, {
        async put(record, rows) {
          const version = await storage.users.put({ ...record, handled: {} }, rows);
          if (version !== undefined && Object.keys(record.handled).length > 0) await storage.users.put({ ...record, version });
          return version;
        },
      }),
    }),
  },
  {
    defect: "puts whatever the version",
    caughtBy: [
      "users refuses a put of a version that is not the stored one, and changes nothing",
      "users does not take a user who came back for the one who was removed",
    ],
    spoil: (storage) => ({
      ...storage,
      users: over(storage.users, {
        put: async (record, rows) =>
          await storage.users.put({ ...record, version: (await storage.users.get(record.userId))?.version ?? 0 }, rows),
      }),
    }),
  },
  {
    defect: "looks at the version in one step and puts in another",
    caughtBy: ["users lets one of several puts at once win"],
    spoil: (storage) => ({
      ...storage,
      users: over(storage.users, {
        async put(record, rows) {
          if (((await storage.users.get(record.userId))?.version ?? 0) !== record.version) return undefined;
          await turn();
          return await storage.users.put({ ...record, version: (await storage.users.get(record.userId))?.version ?? 0 }, rows);
        },
      }),
    }),
  },
  {
    defect: "adds the rows of a put it refuses",
    caughtBy: ["users refuses a put of a version that is not the stored one, and changes nothing"],
    spoil: (storage) => ({
      ...storage,
      users: over(storage.users, {
        async put(record, rows) {
          const version = await storage.users.put(record, rows);
          if (version === undefined) await storage.users.put({ ...record, userId: crypto.randomUUID(), version: 0 }, rows);
          return version;
        },
      }),
    }),
  },
  {
    defect: "writes the version into the record it was given",
    caughtBy: ["users treats records as values"],
    spoil: (storage) => ({
      ...storage,
      users: over(storage.users, {
        async put(record, rows) {
          const version = await storage.users.put({ ...record }, rows);
          if (version !== undefined) (record as { version: number }).version = version;
          return version;
        },
      }),
    }),
  },
  {
    defect: "removes whatever the version",
    caughtBy: ["users forgets a user of that version only, and all look-ups with it"],
    spoil: (storage) => ({
      ...storage,
      users: over(storage.users, {
        remove: async (userId) => await storage.users.remove(userId, (await storage.users.get(userId))?.version ?? 0),
      }),
    }),
  },
  {
    defect: "counts versions from 1 for every new record",
    caughtBy: ["users does not take a user who came back for the one who was removed"],
    spoil(storage) {
      const bases = new Map<string, number>();
      const base = (userId: string) => bases.get(userId) ?? 0;
      return {
        ...storage,
        users: over(storage.users, {
          async get(userId) {
            const record = await storage.users.get(userId);
            return record && { ...record, version: record.version - base(userId) };
          },
          async put(record, rows) {
            const real = record.version === 0 ? 0 : record.version + base(record.userId);
            const version = await storage.users.put({ ...record, version: real }, rows);
            if (version !== undefined && real === 0) bases.set(record.userId, version - 1);
            return version && version - base(record.userId);
          },
          remove: (userId, version) => storage.users.remove(userId, version + base(userId)),
        }),
      };
    },
  },
  {
    defect: "lists all members as away",
    caughtBy: ["users lists as away who is subscribed and has a session on no node"],
    spoil: (storage) => ({
      ...storage,
      users: over(storage.users, {
        async awayMembers(topic) {
          const { names, next } = await storage.users.unseenSince(Infinity, { after: undefined, limit: 1_000 });
          const records = await Promise.all(names.map((name) => storage.users.get(name)));
          return { names: records.filter((record) => topic in record!.subscriptions).map((record) => record!.userId), next };
        },
      }),
    }),
  },
  {
    defect: "does not list as away who is leaving",
    caughtBy: ["users lists as away who has a session that is leaving, and as its node's own until it has left"],
    spoil: (storage) => ({
      ...storage,
      users: over(storage.users, {
        async awayMembers(topic, page) {
          const { names, next } = await storage.users.awayMembers(topic, page);
          const records = await Promise.all(names.map((name) => storage.users.get(name)));
          const away = records.filter((record) => record?.sessions.some(({ node }) => node === null));
          return { names: away.map((record) => record!.userId), next };
        },
      }),
    }),
  },
  {
    defect: "gives up whoever is leaving",
    caughtBy: ["users lists as away who has a session that is leaving, and as its node's own until it has left"],
    spoil: (storage) => ({
      ...storage,
      users: over(storage.users, {
        put: (record, rows) =>
          storage.users.put({
            ...record,
            sessions: record.sessions.map(({ leaving, ...rest }) => leaving ? { ...rest, node: null } : rest),
          }, rows),
      }),
    }),
  },
  {
    defect: "lists as away who was, when first asked",
    caughtBy: ["users keeps the away members in step with every put"],
    spoil(storage) {
      const found = new Map<string, Promise<NamesPage>>();
      return {
        ...storage,
        users: over(storage.users, {
          awayMembers(topic, page) {
            const names = found.get(topic) ?? storage.users.awayMembers(topic, page);
            found.set(topic, names);
            return names;
          },
        }),
      };
    },
  },
  {
    defect: "leaves out one name where pages meet",
    caughtBy: ["users pages away members with none left out and none twice, also while some leave"],
    spoil: (storage) => ({
      ...storage,
      users: over(storage.users, {
        async awayMembers(topic, page) {
          const { names, next } = await storage.users.awayMembers(topic, page);
          return { names: names.slice(page.after === undefined ? 0 : 1), next };
        },
      }),
    }),
  },
  {
    defect: "finds holders who no longer hold",
    caughtBy: ["users finds who has a device or a push target, through every put"],
    spoil(storage) {
      const ever = new Map<string, Set<string>>();
      return {
        ...storage,
        users: over(storage.users, {
          async holders(what) {
            const names = ever.get(JSON.stringify(what)) ?? new Set();
            ever.set(JSON.stringify(what), names);
            for (const name of await storage.users.holders(what)) names.add(name);
            return [...names];
          },
        }),
      };
    },
  },
  {
    defect: "lists everybody as unseen",
    caughtBy: ["users pages users unseen since a time"],
    spoil: (storage) => ({
      ...storage,
      users: over(storage.users, { unseenSince: (_, page) => storage.users.unseenSince(Infinity, page) }),
    }),
  },
  {
    defect: "lets leases live on",
    caughtBy: ["users lists as orphans who has a session on a node without a live lease"],
    spoil: (storage) => ({
      ...storage,
      users: over(storage.users, { lease: (node, ms) => storage.users.lease(node, ms * 1_000) }),
    }),
  },
  {
    defect: "takes users for the same whose names look alike",
    caughtBy: ["users keeps names apart that look alike"],
    spoil(storage) {
      const plain = (record: UserRecord) => ({ ...record, userId: record.userId.normalize() });
      return {
        ...storage,
        users: over(storage.users, {
          get: (userId) => storage.users.get(userId.normalize()),
          put: (record, rows) => storage.users.put(plain(record), rows),
        }),
      };
    },
  },
];

/** Changes what is handled, as it is given back. */
function withHandled(storage: OpenStorage, change: (handled: UserRecord["handled"]) => UserRecord["handled"]): OpenStorage {
  return withRecords(storage, (record) => ({ ...record, handled: change(record.handled) }));
}

/** Changes how far each device is, as it is given back. */
function withProgress(storage: OpenStorage, change: (progress: Progress) => Progress): OpenStorage {
  return withRecords(storage, (record) => ({
    ...record,
    sessions: record.sessions.map((session) => ({ ...session, progress: each(session.progress, change) })),
  }));
}

function withRecords(storage: OpenStorage, change: (record: UserRecord) => UserRecord): OpenStorage {
  const { users } = storage;
  return {
    ...storage,
    users: over(users, {
      async get(userId) {
        const record = await users.get(userId);
        return record && change(record);
      },
    }),
  };
}

function each<Of extends Handled | Progress>(all: Readonly<Record<Topic, Of>>, change: (one: Of) => Of): Record<Topic, Of> {
  return Object.fromEntries(Object.entries(all).map(([topic, one]) => [topic, change(one)]));
}
