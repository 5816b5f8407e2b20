import { asStored } from "../../adapters/conformance/records.ts";
import type { OpenStorage } from "../../src/ports/storage.ts";
import type {
  Handled,
  Positions,
  Progress,
  SessionRecord,
  UserParts,
  UserRecord,
  Users,
  UserVersions,
} from "../../src/ports/users.ts";
import type { NamesPage } from "../../src/ports/page.ts";
import type { Topic } from "../../src/protocol/names.ts";
import { type BrokenStorage, over, turn } from "./broken_storage.ts";

export const brokenUsers: readonly BrokenStorage[] = [
  {
    defect: "keeps a copy of everything that was read",
    caughtBy: [
      "users takes no more memory, if it says how much that is, for a user who is read and written again, and none for one who is gone",
    ],
    spoil: (storage) => {
      const read: (UserRecord | undefined)[] = [];
      return {
        ...storage,
        heldBytes: () => 100 * read.length,
        users: over(storage.users, {
          async get(userId) {
            read.push(await storage.users.get(userId));
            return read.at(-1);
          },
        }),
      };
    },
  },
  {
    defect: "forgets how requests were answered",
    caughtBy: ["users gives back what was put, whole, with its new version"],
    spoil: (storage) => ({
      ...storage,
      users: over(storage.users, {
        async put(record, parts, rows) {
          const sessions = record.sessions.map(({ lines: _, ...session }) => session);
          return await storage.users.put({ ...record, sessions }, parts, rows);
        },
      }),
    }),
  },
  {
    defect: "forgets that a device is temporary",
    caughtBy: ["users gives back what was put, whole, with its new version"],
    spoil: (storage) => ({
      ...storage,
      users: over(storage.users, {
        async put(record, parts, rows) {
          const sessions = record.sessions.map(({ temporary: _, ...session }) => session);
          return await storage.users.put({ ...record, sessions }, parts, rows);
        },
      }),
    }),
  },
  {
    defect: "keeps records in part",
    caughtBy: ["users gives back what was put, whole, with its new version"],
    spoil: (storage) => ({
      ...storage,
      users: over(storage.users, {
        async get(userId) {
          const record = await storage.users.get(userId);
          return record && { ...record, positions: { ...record.positions, progress: {} } };
        },
      }),
    }),
  },
  {
    defect: "keeps of a push target only where it is",
    caughtBy: ["users gives back what was put, whole, with its new version"],
    spoil: (storage) => ({
      ...storage,
      users: over(storage.users, {
        async get(userId) {
          const record = await storage.users.get(userId);
          const sessions = record?.sessions.map((session) => {
            const targets = session.targets.map(({ app: _app, locale: _locale, timeZone: _timeZone, ...target }) => target);
            return { ...session, targets };
          });
          return record && { ...record, sessions: sessions! };
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
    defect: "keeps what is handled beside the positions, whatever the version",
    caughtBy: ["users takes a put that moves only what is handled for one more version"],
    spoil(storage) {
      const beside = new Map<string, Positions["handled"]>();
      return {
        ...storage,
        users: over(storage.users, {
          async get(userId) {
            const record = await storage.users.get(userId);
            return record && { ...record, positions: { ...record.positions, handled: beside.get(userId) ?? {} } };
          },
          put(record, ...what) {
            beside.set(record.userId, record.positions.handled);
            return storage.users.put(record, ...what);
          },
        }),
      };
    },
  },
  {
    defect: "writes positions once more for what is handled",
    caughtBy: ["users takes a put that moves only what is handled for one more version"],
    spoil: (storage) => ({
      ...storage,
      users: over(storage.users, {
        async put(record, parts, rows) {
          const { handled } = record.positions;
          const versions = await storage.users.put({ ...record, positions: { ...record.positions, handled: {} } }, parts, rows);
          if (versions !== undefined && Object.keys(handled).length > 0) {
            await storage.users.put(asStored(record, versions), "positions");
          }
          return versions;
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
        put: async (record, ...what) => await storage.users.put(await current(storage, record), ...what),
      }),
    }),
  },
  {
    defect: "looks at the version in one step and puts in another",
    caughtBy: ["users lets one of several puts at once win"],
    spoil: (storage) => ({
      ...storage,
      users: over(storage.users, {
        async put(record, ...what) {
          if (((await storage.users.get(record.userId))?.version ?? 0) !== record.version) return undefined;
          await turn();
          return await storage.users.put(await current(storage, record), ...what);
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
        async put(record, parts, rows) {
          const versions = await storage.users.put(record, parts, rows);
          const nobody = asStored({ ...record, userId: crypto.randomUUID() }, { devices: 0, positions: 0 });
          if (versions === undefined) await storage.users.put(nobody, "both", rows);
          return versions;
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
        async put(record, ...what) {
          const versions = await storage.users.put({ ...record }, ...what);
          if (versions !== undefined) (record as { version: number }).version = versions.devices;
          return versions;
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
    defect: "counts the devices' versions from 1 for every new user",
    caughtBy: ["users forgets both parts of a user, however far the positions have moved"],
    spoil: (storage) => countingFrom1(storage, "devices"),
  },
  {
    defect: "counts the positions' versions from 1 for every new user",
    caughtBy: ["users forgets both parts of a user, however far the positions have moved"],
    spoil: (storage) => countingFrom1(storage, "positions"),
  },
  {
    defect: "writes the devices with the positions",
    caughtBy: ["users writes the part that is named, and leaves the other as it is"],
    spoil: (storage) => withPut(storage, (put, record, parts, rows) => put(record, parts === "positions" ? "both" : parts, rows)),
  },
  {
    defect: "writes the positions with the devices",
    caughtBy: ["users writes the part that is named, and leaves the other as it is"],
    spoil: (storage) => withPut(storage, (put, record, parts, rows) => put(record, parts === "devices" ? "both" : parts, rows)),
  },
  {
    defect: "expects the devices' version for positions too",
    caughtBy: ["users takes one part whatever became of the other since it was read"],
    spoil: (storage) =>
      withPut(storage, async (put, record, parts, rows) => {
        const stored = await storage.users.get(record.userId);
        return (stored?.version ?? 0) === record.version ? await put(record, parts, rows) : undefined;
      }),
  },
  {
    defect: "expects the positions' version for devices too",
    caughtBy: ["users takes one part whatever became of the other since it was read"],
    spoil: (storage) =>
      withPut(storage, async (put, record, parts, rows) => {
        const stored = await storage.users.get(record.userId);
        return (stored?.positions.version ?? 0) === record.positions.version ? await put(record, parts, rows) : undefined;
      }),
  },
  {
    defect: "lets a put wait for no other of the user",
    caughtBy: ["users lets puts of both parts at once through"],
    spoil(storage) {
      const busy = new Set<string>();
      return withPut(storage, async (put, record, parts, rows) => {
        if (busy.has(record.userId)) return undefined;
        busy.add(record.userId);
        await turn();
        return await put(record, parts, rows).finally(() => busy.delete(record.userId));
      });
    },
  },
  {
    defect: "adds rows with positions whatever the devices are by then",
    caughtBy: ["users adds rows only where neither part has changed"],
    spoil: (storage) =>
      withPut(storage, async (put, record, parts, rows) => {
        return await put(
          parts === "positions" ? { ...record, version: (await current(storage, record)).version } : record,
          parts,
          rows,
        );
      }),
  },
  {
    defect: "adds rows with devices wherever the positions are by then",
    caughtBy: ["users adds rows only where neither part has changed"],
    spoil: (storage) =>
      withPut(storage, async (put, record, parts, rows) => {
        const { positions } = await current(storage, record);
        return await put(parts === "devices" ? { ...record, positions } : record, parts, rows);
      }),
  },
  {
    defect: "writes the devices, and then the positions",
    caughtBy: ["users writes both parts or none of them"],
    spoil: (storage) => inTwoSteps(storage, "devices", "positions"),
  },
  {
    defect: "writes the positions, and then the devices",
    caughtBy: ["users writes both parts or none of them"],
    spoil: (storage) => inTwoSteps(storage, "positions", "devices"),
  },
  {
    defect: "reads the positions before the devices",
    caughtBy: ["users reads nothing of devices without the positions that were put with them"],
    spoil: (storage) => ({
      ...storage,
      users: over(storage.users, {
        async get(userId) {
          const before = await storage.users.get(userId);
          await turn();
          const after = await storage.users.get(userId);
          return before && after && { ...after, positions: before.positions };
        },
      }),
    }),
  },
  {
    defect: "stores a part of nobody",
    caughtBy: ["users puts who is not stored as a whole"],
    spoil: (storage) => withPut(storage, (put, record, parts, rows) => put(record, record.version === 0 ? "both" : parts, rows)),
  },
  {
    defect: "keeps the positions of whom it forgets",
    caughtBy: ["users forgets both parts of a user, however far the positions have moved"],
    spoil(storage) {
      const left = new Map<string, Positions>();
      return {
        ...storage,
        users: over(storage.users, {
          async get(userId) {
            const record = await storage.users.get(userId);
            const { progress, handled } = left.get(userId) ?? record?.positions ?? {};
            return record && { ...record, positions: { ...record.positions, progress: progress!, handled: handled! } };
          },
          async remove(userId, version) {
            const record = await storage.users.get(userId);
            if (record !== undefined) left.set(userId, record.positions);
            return await storage.users.remove(userId, version);
          },
        }),
      };
    },
  },
  {
    defect: "forgets nobody whose positions moved after the devices",
    caughtBy: ["users forgets both parts of a user, however far the positions have moved"],
    spoil(storage) {
      const movedLast = new Set<string>();
      return {
        ...storage,
        users: over(storage.users, {
          put(record, parts, rows) {
            if (parts === "positions") movedLast.add(record.userId);
            else movedLast.delete(record.userId);
            return storage.users.put(record, parts, rows);
          },
          remove: async (userId, version) => !movedLast.has(userId) && await storage.users.remove(userId, version),
        }),
      };
    },
  },
  {
    defect: "loses a device that is called as what every object has",
    caughtBy: ["users keeps how far devices are, whatever they are called"],
    spoil: (storage) =>
      withRecords(storage, (record) => {
        const progress: Record<string, Readonly<Record<Topic, Progress>>> = {};
        for (const [deviceId, own] of Object.entries(record.positions.progress)) progress[deviceId] ??= own;
        return { ...record, positions: { ...record.positions, progress } };
      }),
  },
  {
    defect: "lists all members as pushable",
    caughtBy: ["users lists as pushable who is subscribed and has a session on no node"],
    spoil: (storage) => listing(storage, () => true),
  },
  {
    defect: "lists as pushable who is away without a target",
    caughtBy: ["users lists a user as pushable only for a target that is not disabled, of a session that no node holds"],
    spoil: (storage) => listing(storage, ({ sessions }) => sessions.some(isAway)),
  },
  {
    defect: "lists as pushable who has dead targets only",
    caughtBy: ["users lists a user as pushable only for a target that is not disabled, of a session that no node holds"],
    spoil: (storage) => listing(storage, ({ sessions }) => sessions.some((one) => isAway(one) && one.targets.length > 0)),
  },
  {
    defect: "lists as pushable who is away, for the target of a session that is not",
    caughtBy: ["users lists a user as pushable only for a target that is not disabled, of a session that no node holds"],
    spoil: (storage) =>
      listing(storage, ({ sessions }) => {
        return sessions.some(isAway) && sessions.some(({ targets }) => targets.some(({ disabled }) => disabled === undefined));
      }),
  },
  {
    defect: "does not list as pushable who is leaving",
    caughtBy: ["users lists as pushable who has a session that is leaving, and as its node's own until it has left"],
    spoil: (storage) => ({
      ...storage,
      users: over(storage.users, {
        async pushableMembers(topic, page) {
          const { names, next } = await storage.users.pushableMembers(topic, page);
          const records = await Promise.all(names.map((name) => storage.users.get(name)));
          const away = records.filter((record) => record?.sessions.some(({ node }) => node === null));
          return { names: away.map((record) => record!.userId), next };
        },
      }),
    }),
  },
  {
    defect: "gives up whoever is leaving",
    caughtBy: ["users lists as pushable who has a session that is leaving, and as its node's own until it has left"],
    spoil: (storage) => ({
      ...storage,
      users: over(storage.users, {
        put: (record, ...what) =>
          storage.users.put({
            ...record,
            sessions: record.sessions.map(({ leaving, ...rest }) => leaving ? { ...rest, node: null } : rest),
          }, ...what),
      }),
    }),
  },
  {
    defect: "lists as pushable who was, when first asked",
    caughtBy: ["users keeps the pushable members in step with every put"],
    spoil(storage) {
      const found = new Map<string, Promise<NamesPage>>();
      return {
        ...storage,
        users: over(storage.users, {
          pushableMembers(topic, page) {
            const names = found.get(topic) ?? storage.users.pushableMembers(topic, page);
            found.set(topic, names);
            return names;
          },
        }),
      };
    },
  },
  {
    defect: "leaves out one name where pages meet",
    caughtBy: ["users pages pushable members with none left out and none twice, also while some leave"],
    spoil: (storage) => ({
      ...storage,
      users: over(storage.users, {
        async pushableMembers(topic, page) {
          const { names, next } = await storage.users.pushableMembers(topic, page);
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
          put: (record, ...what) => storage.users.put(plain(record), ...what),
        }),
      };
    },
  },
];

/** Changes what is handled, as it is given back. */
function withHandled(storage: OpenStorage, change: (handled: Positions["handled"]) => Positions["handled"]): OpenStorage {
  return withRecords(storage, (record) => {
    return { ...record, positions: { ...record.positions, handled: change(record.positions.handled) } };
  });
}

/** Changes how far each device is, as it is given back. */
function withProgress(storage: OpenStorage, change: (progress: Progress) => Progress): OpenStorage {
  return withRecords(storage, (record) => {
    const devices = Object.entries(record.positions.progress).map(([deviceId, own]) => [deviceId, each(own, change)] as const);
    return { ...record, positions: { ...record.positions, progress: Object.fromEntries(devices) } };
  });
}

/** Lists as pushable whoever is subscribed and meant. */
function listing(storage: OpenStorage, meant: (record: UserRecord) => boolean): OpenStorage {
  const { users } = storage;
  return {
    ...storage,
    users: over(users, {
      async pushableMembers(topic) {
        const { names, next } = await users.unseenSince(Infinity, { after: undefined, limit: 1_000 });
        const records = await Promise.all(names.map((name) => users.get(name)));
        const found = records.filter((record) => topic in record!.subscriptions && meant(record!));
        return { names: found.map((record) => record!.userId), next };
      },
    }),
  };
}

function isAway({ leaving, node }: SessionRecord): boolean {
  return node === null || leaving === true;
}

type Put = Users["put"];

function withPut({ users, ...rest }: OpenStorage, put: (put: Put, ...given: Parameters<Put>) => ReturnType<Put>): OpenStorage {
  return { ...rest, users: over(users, { put: (...given) => put((...what) => users.put(...what), ...given) }) };
}

/** What is to be put, with the versions that are stored. */
async function current({ users }: OpenStorage, record: UserRecord): Promise<UserRecord> {
  const stored = await users.get(record.userId);
  return asStored(record, { devices: stored?.version ?? 0, positions: stored?.positions.version ?? 0 });
}

/** Both parts of a user who is there are written one after the other. */
function inTwoSteps(storage: OpenStorage, first: UserParts, second: UserParts): OpenStorage {
  return withPut(storage, async (put, record, parts, rows) => {
    if (parts !== "both" || record.version === 0) return await put(record, parts, rows);
    const versions = await put(record, first);
    return versions && await put(asStored(record, versions), second, rows);
  });
}

/** The first version of a part is 1 whenever a user is new. */
function countingFrom1(storage: OpenStorage, part: keyof UserVersions): OpenStorage {
  const bases = new Map<string, number>();
  const shifted = (record: UserRecord, by: number): UserRecord => {
    const versions = { devices: record.version, positions: record.positions.version };
    return asStored(record, { ...versions, [part]: versions[part] === 0 ? 0 : versions[part] + by });
  };
  const base = (userId: string): number => bases.get(userId) ?? 0;
  return {
    ...storage,
    users: over(storage.users, {
      async get(userId) {
        const record = await storage.users.get(userId);
        return record && shifted(record, -base(userId));
      },
      async put(record, parts, rows) {
        const { userId } = record;
        const versions = await storage.users.put(shifted(record, base(userId)), parts, rows);
        if (versions === undefined) return undefined;
        if (record.version === 0) bases.set(userId, versions[part] - 1);
        return { ...versions, [part]: versions[part] - base(userId) };
      },
      remove: (userId, version) => storage.users.remove(userId, part === "devices" ? version + base(userId) : version),
    }),
  };
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
