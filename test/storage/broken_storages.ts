import type { NewOutboxRow, OutboxRow } from "../../src/ports/outbox.ts";
import type { OpenStorage, StorageContext } from "../../src/ports/storage.ts";
import type { Entry, TopicListener } from "../../src/ports/transport.ts";
import type { UserRecord } from "../../src/ports/users.ts";

/** A storage with one defect, and the cases that are to find it. */
export interface BrokenStorage {
  readonly defect: string;
  readonly caughtBy: readonly string[];
  spoil(storage: OpenStorage, context: StorageContext): OpenStorage;
}

/** `port` with some of its members replaced. */
function over<Port extends object>(port: Port, replaced: Partial<Port>): Port {
  return new Proxy(port, {
    get(target, name) {
      if (name in replaced) return replaced[name as keyof Port];
      const value = target[name as keyof Port];
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

const everyone = { after: undefined, limit: 1_000 };
const turn = () => new Promise((resolve) => setTimeout(resolve, 1));

/** Reports in a loop of its own, as a first draft would. */
function reportNaively(
  storage: OpenStorage,
  report: (tell: () => void, store: () => Promise<unknown>) => Promise<unknown>,
): OpenStorage {
  const listeners: TopicListener[] = [];
  let offset = 0;
  const transport = over(storage.transport, {
    subscribe(topic, listener) {
      listeners.push(listener);
      return storage.transport.subscribe(topic, { entry() {}, gap() {} });
    },
    async publish(topic, bytes, options) {
      const entry: Entry = { topic, epoch: 1, offset: ++offset, previous: offset - 1, bytes, expiresAt: options.expiresAt };
      let appended;
      await report(
        () => {
          for (const listener of listeners) listener.entry(entry);
        },
        async () => appended = await storage.transport.publish(topic, bytes, options),
      );
      return appended!;
    },
  });
  return { ...storage, transport };
}

/** Changes what listeners are told. */
function retell(storage: OpenStorage, tell: (entry: Entry, listener: TopicListener) => void): OpenStorage {
  const { transport } = storage;
  return {
    ...storage,
    transport: over(transport, {
      subscribe: (topic, listener) => transport.subscribe(topic, { ...listener, entry: (entry) => tell(entry, listener) }),
    }),
  };
}

function withRows(storage: OpenStorage, change: (rows: readonly NewOutboxRow[]) => readonly NewOutboxRow[]): OpenStorage {
  const { users } = storage;
  return { ...storage, users: over(users, { put: (record, rows = []) => users.put(record, change(rows)) }) };
}

const transports: BrokenStorage[] = [
  {
    defect: "gives every second entry the offset of the one before",
    caughtBy: [
      "transport gives every entry of a topic a strictly higher offset",
      "transport gives publishes that run at once positions of their own",
    ],
    spoil: (storage) => ({
      ...storage,
      transport: over(storage.transport, {
        async publish(...what) {
          const { position, duplicate } = await storage.transport.publish(...what);
          return { position: { ...position!, offset: Math.ceil(position!.offset / 2) }, duplicate };
        },
      }),
    }),
  },
  {
    defect: "reports entries in pairs, the later one first",
    caughtBy: [
      "transport gives publishes that run at once positions of their own",
      "transport reports to a publisher its own entries, as published, once, in order",
    ],
    spoil(storage) {
      let held: Entry | undefined;
      return retell(storage, (entry, listener) => {
        if (held === undefined) held = entry;
        else {
          listener.entry(entry);
          listener.entry(held);
          held = undefined;
        }
      });
    },
  },
  {
    defect: "ignores keys",
    caughtBy: [
      "transport answers a known key with the first position and adds nothing",
      "transport lets one of several publishes at once under one key win",
      "transport forgets a key after the window and not before",
    ],
    spoil: (storage) => ({
      ...storage,
      transport: over(storage.transport, {
        publish: (topic, bytes, options) => storage.transport.publish(topic, bytes, { ...options, key: crypto.randomUUID() }),
      }),
    }),
  },
  {
    defect: "remembers keys for all topics together, for ever",
    caughtBy: [
      "transport takes one key in two topics for two messages",
      "transport forgets a key after the window and not before",
    ],
    spoil(storage) {
      const known = new Map<string, ReturnType<OpenStorage["transport"]["publish"]>>();
      return {
        ...storage,
        transport: over(storage.transport, {
          async publish(topic, bytes, options) {
            const first = known.get(options.key);
            if (first !== undefined) return { ...await first, duplicate: true };
            const publishing = storage.transport.publish(topic, bytes, options);
            known.set(options.key, publishing);
            return await publishing;
          },
        }),
      };
    },
  },
  {
    defect: "does not report a node's own entries to it",
    caughtBy: ["transport reports to a publisher its own entries, as published, once, in order"],
    spoil: (storage) => retell(storage, () => {}),
  },
  {
    defect: "reports every entry twice",
    caughtBy: ["transport reports to a publisher its own entries, as published, once, in order"],
    spoil: (storage) =>
      retell(storage, (entry, listener) => {
        listener.entry(entry);
        listener.entry(entry);
      }),
  },
  {
    defect: "replays the log to a new subscription",
    caughtBy: ["transport reports what comes after a subscription's head and nothing before"],
    spoil: (storage) => ({
      ...storage,
      transport: over(storage.transport, {
        async subscribe(topic, listener) {
          for (const entry of (await storage.history!.read(topic, 0, 100)).entries) listener.entry(entry);
          return await storage.transport.subscribe(topic, listener);
        },
      }),
    }),
  },
  {
    defect: "reports while it is reporting, and lets a listener's error out",
    caughtBy: [
      "transport reports in order also when a listener publishes while it is told",
      "transport goes on when a listener throws",
      "transport reports nothing up to its head to a subscription that is made while an entry is reported",
    ],
    spoil: (storage) =>
      reportNaively(storage, async (tell, store) => {
        const storing = store();
        tell();
        await storing;
      }),
  },
  {
    defect: "reports before it stores",
    caughtBy: ["transport reports an entry only when it can be read"],
    spoil: (storage) =>
      reportNaively(storage, async (tell, store) => {
        tell();
        await turn();
        await store();
      }),
  },
  {
    defect: "goes on reporting to closed subscriptions",
    caughtBy: ["transport reports nothing more to a closed subscription and all to the others"],
    spoil: (storage) => ({
      ...storage,
      transport: over(storage.transport, {
        subscribe: async (topic, listener) => ({ ...await storage.transport.subscribe(topic, listener), close() {} }),
      }),
    }),
  },
  {
    defect: "takes topics for the same that differ in case or in a dot",
    caughtBy: ["transport keeps topics apart, whatever stands in their names"],
    spoil(storage) {
      const plain = (topic: string) => topic.toLowerCase().replaceAll(".", " ");
      return {
        ...storage,
        transport: over(storage.transport, {
          publish: (topic, ...rest) => storage.transport.publish(plain(topic), ...rest),
          subscribe: (topic, listener) => storage.transport.subscribe(plain(topic), listener),
        }),
      };
    },
  },
  {
    defect: "cuts entries at 64 KiB",
    caughtBy: ["transport carries every byte, from none to a mebibyte"],
    spoil: (storage) =>
      retell(storage, (entry, listener) => listener.entry({ ...entry, bytes: entry.bytes.subarray(0, 65_536) })),
  },
  {
    defect: "logs signals",
    caughtBy: ["transport brings a signal to the topic's listeners and leaves the log as it is"],
    spoil: (storage) => ({
      ...storage,
      transport: over(storage.transport, {
        signal: (topic, bytes) => void storage.transport.publish(topic, bytes, { key: crypto.randomUUID(), expiresAt: Infinity }),
      }),
    }),
  },
  {
    defect: "accepts publishes after close",
    caughtBy: ["transport refuses with `closed` once it is closed"],
    spoil: (storage) => ({ ...storage, close: () => Promise.resolve() }),
  },
  {
    defect: "leaves a timer behind",
    caughtBy: ["transport leaves no timer behind when it is closed"],
    spoil(storage, { clock }) {
      clock.setTimeout(() => {}, 60_000);
      return storage;
    },
  },
  {
    defect: "claims to be durable and forgets everything",
    caughtBy: [
      "transport keeps entries, offsets, epoch and keys over a restart",
      "history keeps floor and expired counts over a restart",
      "work hands out after a restart what no handler resolved",
      "users keeps users and look-ups over a restart",
      "outbox turns sending into pending at a restart and keeps the rest",
    ],
    spoil: (storage) => ({ ...storage, transport: over(storage.transport, { durable: true }) }),
  },
];

/** Changes the pages that are read. */
function reread(
  storage: OpenStorage,
  read: (...what: [topic: string, after: number, limit: number]) => ReturnType<NonNullable<OpenStorage["history"]>["read"]>,
): OpenStorage {
  return { ...storage, history: { read } };
}

const histories: BrokenStorage[] = [
  {
    defect: "rejects for a topic it does not know",
    caughtBy: ["history answers for an unknown topic with an empty page at offset 0"],
    spoil: ({ history, ...storage }) =>
      reread(storage, async (...what) => {
        const page = await history!.read(...what);
        if (page.head.offset === 0) throw new Error("unknown");
        return page;
      }),
  },
  {
    defect: "begins a page with the entry it was to go on after",
    caughtBy: ["history joins page to page with no gap and no overlap"],
    spoil: ({ history, ...storage }) =>
      reread(storage, (topic, after, limit) => history!.read(topic, Math.max(0, after - 1), limit)),
  },
  {
    defect: "says only with an empty page that there is no more",
    caughtBy: ["history says with the last entry that there is no more", "history reaches the head past a tail that expired"],
    spoil: ({ history, ...storage }) =>
      reread(storage, async (...what) => {
        const page = await history!.read(...what);
        const last = page.entries.at(-1);
        return last === undefined ? page : { ...page, through: last.offset - 1 };
      }),
  },
  {
    defect: "does not count what expired",
    caughtBy: [
      "history counts what expired, steps over it and leaves the floor",
      "history reaches the head past a tail that expired",
      "history counts expired entries the same after later publishes let go of them",
    ],
    spoil: ({ history, ...storage }) => reread(storage, async (...what) => ({ ...await history!.read(...what), expired: 0 })),
  },
  {
    defect: "keeps entries a millisecond too long",
    caughtBy: ["history takes an entry for expired from its very millisecond on"],
    spoil: (storage) => ({
      ...storage,
      transport: over(storage.transport, {
        publish: (topic, bytes, { key, expiresAt }) => storage.transport.publish(topic, bytes, { key, expiresAt: expiresAt + 1 }),
      }),
    }),
  },
  {
    defect: "raises the floor when entries expire",
    caughtBy: [
      "history counts what expired, steps over it and leaves the floor",
      "history does not raise the floor for an expired entry that made room",
    ],
    spoil: ({ history, ...storage }) =>
      reread(storage, async (...what) => {
        const page = await history!.read(...what);
        return { ...page, floor: page.floor + page.expired };
      }),
  },
  {
    defect: "does not say that entries had to make room",
    caughtBy: ["history raises the floor to the last entry that had to make room"],
    spoil: ({ history, ...storage }) => reread(storage, async (...what) => ({ ...await history!.read(...what), floor: 0 })),
  },
  {
    defect: "forgets the floor of an empty log",
    caughtBy: ["history remembers the floor when what is above it expired"],
    spoil: ({ history, ...storage }) =>
      reread(storage, async (...what) => {
        const page = await history!.read(...what);
        return page.entries.length === 0 ? { ...page, floor: 0 } : page;
      }),
  },
];

type Consume = NonNullable<OpenStorage["work"]>["consume"];
type Handler = Parameters<Consume>[0];

/** Changes what a consumer's handler gets. */
function rework(storage: OpenStorage, change: (handler: Handler) => Handler): OpenStorage {
  return { ...storage, work: { consume: (handler) => storage.work!.consume(change(handler)) } };
}

const works: BrokenStorage[] = [
  {
    defect: "never hands out the last entry",
    caughtBy: ["work hands out every topic that got entries, up to its head"],
    spoil: (storage) =>
      rework(storage, (handler) => ({ topic, head }) => handler({ topic, head: { ...head, offset: head.offset - 1 } })),
  },
  {
    defect: "forgets what was published before anybody consumed",
    caughtBy: ["work hands out what was published before anybody consumed"],
    spoil(storage) {
      const early = new Set<string>();
      let consumed = false;
      return {
        ...storage,
        transport: over(storage.transport, {
          publish(topic, ...rest) {
            if (!consumed) early.add(topic);
            return storage.transport.publish(topic, ...rest);
          },
        }),
        work: {
          consume(handler) {
            consumed = true;
            return storage.work!.consume((item) => early.has(item.topic) ? Promise.resolve() : handler(item));
          },
        },
      };
    },
  },
  {
    defect: "takes a rejection for an end",
    caughtBy: ["work hands out a topic again when the handler rejected"],
    spoil: (storage) => rework(storage, (handler) => (item) => handler(item).catch(() => {})),
  },
  {
    defect: "works on one topic after the other",
    caughtBy: ["work hands out other topics while one fails or takes its time"],
    spoil: (storage) =>
      rework(storage, (handler) => {
        let last: Promise<void> = Promise.resolve();
        return (item) => last = last.catch(() => {}).then(() => handler(item));
      }),
  },
  {
    defect: "runs the handler twice at a time",
    caughtBy: ["work runs the handler for one topic once at a time, and again for what came meanwhile"],
    spoil: (storage) => rework(storage, (handler) => async (item) => void await Promise.all([handler(item), handler(item)])),
  },
  {
    defect: "goes on working after the consumer closed",
    caughtBy: ["work starts no run after the consumer closed, and waits for those under way"],
    spoil: (storage) => ({
      ...storage,
      work: { consume: async (handler) => ({ ...await storage.work!.consume(handler), close: () => Promise.resolve() }) },
    }),
  },
];

const users: BrokenStorage[] = [
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
          const names = await storage.users.unseenSince(Infinity, everyone);
          const records = await Promise.all(names.map((name) => storage.users.get(name)));
          return records.filter((record) => topic in record!.subscriptions).map((record) => record!.userId);
        },
      }),
    }),
  },
  {
    defect: "lists as away who was, when first asked",
    caughtBy: ["users keeps the away members in step with every put"],
    spoil(storage) {
      const found = new Map<string, Promise<string[]>>();
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
        awayMembers: async (topic, page) =>
          (await storage.users.awayMembers(topic, page)).slice(page.after === undefined ? 0 : 1),
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

const outboxes: BrokenStorage[] = [
  {
    defect: "keeps rows in part",
    caughtBy: ["outbox gives back a row as it was added, pending"],
    spoil: (storage) => withRows(storage, (rows) => rows.map((row) => ({ ...row, held: false }))),
  },
  {
    defect: "lists due rows in the order of their ids",
    caughtBy: ["outbox lists pending rows by due time and says when the next is due"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, {
        async due(now, limit) {
          const { rows, nextDueAt } = await storage.outbox.due(now, 1_000);
          return { rows: rows.sort((a, b) => a.id < b.id ? 1 : -1).slice(0, limit), nextDueAt };
        },
      }),
    }),
  },
  {
    defect: "does not say when the next row is due",
    caughtBy: ["outbox lists pending rows by due time and says when the next is due"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, { due: async (...what) => ({ ...await storage.outbox.due(...what), nextDueAt: undefined }) }),
    }),
  },
  {
    defect: "forgets a row when it is settled",
    caughtBy: ["outbox leaves rows it knows as they are", "outbox remembers a settled row until it expires"],
    spoil(storage) {
      const settled = new Set<string>();
      const { users } = withRows(
        storage,
        (rows) => rows.map((row) => settled.has(row.id) ? { ...row, id: `${row.id} again` } : row),
      );
      const outbox = over(storage.outbox, {
        settle(ids, ...rest) {
          for (const id of ids) settled.add(id);
          return storage.outbox.settle(ids, ...rest);
        },
      });
      return { ...storage, users, outbox };
    },
  },
  {
    defect: "lets everybody take a row",
    caughtBy: ["outbox lets one of several takes win"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, { take: async (id) => (await storage.outbox.take(id)) || id !== "unknown" }),
    }),
  },
  {
    defect: "loses a row that is to be tried again",
    caughtBy: ["outbox brings a retried row back at its time, its tries counted"],
    spoil: (storage) => ({ ...storage, outbox: over(storage.outbox, { retry: () => Promise.resolve() }) }),
  },
  {
    defect: "does not end rows that are being sent",
    caughtBy: ["outbox ends rows that are pending or sending, once"],
    spoil(storage) {
      const sending = new Set<string>();
      const outbox = over(storage.outbox, {
        take(id) {
          sending.add(id);
          return storage.outbox.take(id);
        },
        settle: (ids, ...rest) => storage.outbox.settle(ids.filter((id) => !sending.has(id)), ...rest),
      });
      return { ...storage, outbox };
    },
  },
  {
    defect: "hides pending rows that expired",
    caughtBy: ["outbox keeps a pending row past its expiry, for the engine to end"],
    spoil: (storage, { clock }) => ({
      ...storage,
      outbox: over(storage.outbox, {
        async due(...what) {
          const { rows, nextDueAt } = await storage.outbox.due(...what);
          return { rows: rows.filter(({ expiresAt }) => expiresAt > clock.now()), nextDueAt };
        },
      }),
    }),
  },
  {
    defect: "drops all of a user's rows whatever is named",
    caughtBy: ["outbox drops the pending rows that match, and only those"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, { cancel: ({ userId }, note) => storage.outbox.cancel({ userId }, note) }),
    }),
  },
  {
    defect: "takes every row of a target for coalesced",
    caughtBy: ["outbox lists the pending coalesced rows of a target, whenever they are due"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, {
        coalescedOf: async (targetId) =>
          (await storage.outbox.due(Infinity, 1_000)).rows.filter((row: OutboxRow) => row.targetId === targetId),
      }),
    }),
  },
  {
    defect: "knows only the pending rows of a message",
    caughtBy: ["outbox knows every row of a message, however it ended"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, {
        ofMessage: async (messageId) => (await storage.outbox.ofMessage(messageId)).filter(({ status }) => status === "pending"),
      }),
    }),
  },
];

/** Every way to be broken that the cases must find. */
export const brokenStorages: readonly BrokenStorage[] = [...transports, ...histories, ...works, ...users, ...outboxes];
