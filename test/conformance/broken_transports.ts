import type { OpenStorage } from "../../src/ports/storage.ts";
import type { Appended, Entry, TopicListener } from "../../src/ports/transport.ts";
import { type BrokenStorage, over, turn } from "./broken_storage.ts";

export const brokenTransports: readonly BrokenStorage[] = [
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
          const { position, ...rest } = await storage.transport.publish(...what);
          return { position: { ...position!, offset: Math.ceil(position!.offset / 2) }, ...rest };
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
    defect: "names a previous entry that comes before the last one",
    caughtBy: [
      "transport reports to a publisher its own entries, as published, once, in order",
      "history joins page to page with no gap and no overlap",
    ],
    spoil: (storage) => misname(storage, ({ previous }) => Math.max(0, previous - 1)),
  },
  {
    defect: "names an entry as the one before itself",
    caughtBy: [
      "transport reports to a publisher its own entries, as published, once, in order",
      "history joins page to page with no gap and no overlap",
    ],
    spoil: (storage) => misname(storage, ({ offset }) => offset),
  },
  {
    defect: "keeps no log, and brings everything twice",
    caughtBy: ["transport reports to a publisher its own entries, as published, once, in order"],
    spoil: (storage) =>
      withoutLog(storage, (bytes, listener) => {
        listener.signal?.(bytes);
        listener.signal?.(bytes);
      }),
  },
  {
    defect: "keeps no log, and brings what was published in pairs, the later one first",
    caughtBy: [
      "transport reports to a publisher its own entries, as published, once, in order",
      "transport reports in order also when a listener publishes while it is told",
    ],
    spoil(storage) {
      const held = new Map<TopicListener, Uint8Array>();
      return withoutLog(storage, (bytes, listener) => {
        const first = held.get(listener);
        if (first === undefined) return void held.set(listener, bytes);
        held.delete(listener);
        listener.signal?.(bytes);
        listener.signal?.(first);
      });
    },
  },
  {
    defect: "keeps no log, and cuts messages at 64 KiB",
    caughtBy: ["transport carries every byte, from none to a mebibyte"],
    spoil: (storage) => withoutLog(storage, (bytes, listener) => listener.signal?.(bytes.subarray(0, 65_536))),
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
      "users keeps what is handled and how far each device is over a restart",
      "outbox turns sending into pending at a restart and keeps the rest",
      "outbox keeps over a restart what a push covers",
      "outbox keeps the handle of a push over a restart",
      "outbox keeps no row waiting for longer than it was to wait when the clock is behind after a restart",
      "outbox keeps over a restart how far topics are decided",
    ],
    spoil: (storage) => saying(storage, () => "disk", true),
  },
  {
    defect: "says of what is in memory that it is on disk",
    caughtBy: ["transport says of every publish how safely it is stored, and `memory` just when it is not durable"],
    spoil: (storage) => saying(storage, () => "disk"),
  },
  {
    defect: "says of a repeated publish that it is on disk",
    caughtBy: [
      "transport says of every publish how safely it is stored, and `memory` just when it is not durable",
      "transport answers a known key with the first position and adds nothing",
    ],
    spoil: (storage) => saying(storage, ({ duplicate }) => duplicate ? "disk" : "memory"),
  },
  {
    defect: "is durable, and says that what it stored is in memory",
    caughtBy: ["transport says of every publish how safely it is stored, and `memory` just when it is not durable"],
    spoil: (storage) => saying(storage, () => "memory", true),
  },
  {
    defect: "does not say how safely a publish is stored",
    caughtBy: ["transport says of every publish how safely it is stored, and `memory` just when it is not durable"],
    spoil: (storage) => saying(storage, () => undefined as never),
  },
  {
    defect: "keeps no log, and says that it is durable",
    caughtBy: ["transport says of every publish how safely it is stored, and `memory` just when it is not durable"],
    spoil: (storage) => saying(withoutLog(storage, (bytes, listener) => listener.signal?.(bytes)), () => "majority", true),
  },
];

/** Says something else of how safely publishes are stored. */
function saying(
  storage: OpenStorage,
  durabilityOf: (appended: Appended) => Appended["durability"],
  durable = false,
): OpenStorage {
  const transport = over(storage.transport, {
    durable,
    async publish(...what) {
      const appended = await storage.transport.publish(...what);
      return { ...appended, durability: durabilityOf(appended) };
    },
  });
  return { ...storage, transport };
}

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

/** Changes which entry comes before another. */
function misname(storage: OpenStorage, previousOf: (entry: Entry) => number): OpenStorage {
  const misnamed = (entry: Entry): Entry => ({ ...entry, previous: previousOf(entry) });
  const history = over(storage.history!, {
    async read(...what) {
      const page = await storage.history!.read(...what);
      return { ...page, entries: page.entries.map(misnamed) };
    },
  });
  return { ...retell(storage, (entry, listener) => listener.entry(misnamed(entry))), history };
}

/** Brings what is published as signals, as a transport that keeps no log does. */
function withoutLog(storage: OpenStorage, tell: (bytes: Uint8Array, listener: TopicListener) => void): OpenStorage {
  const { history: _history, work: _work, transport, ...rest } = storage;
  return {
    ...rest,
    transport: over(transport, {
      publish(topic, bytes) {
        transport.signal(topic, bytes);
        return Promise.resolve({ position: null, duplicate: false, durability: "memory" });
      },
      subscribe: (topic, listener) => transport.subscribe(topic, { ...listener, signal: (bytes) => tell(bytes, listener) }),
    }),
  };
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
