import type { OpenStorage } from "../../src/ports/storage.ts";
import { type BrokenStorage, over } from "./broken_storage.ts";

export const brokenHistories: readonly BrokenStorage[] = [
  {
    defect: "rejects for a topic it does not know",
    caughtBy: ["history answers for an unknown topic with an empty page at offset 0, in the epoch of the entries to come"],
    spoil: ({ history, ...storage }) =>
      reread(storage, async (...what) => {
        const page = await history!.read(...what);
        if (page.head.offset === 0) throw new Error("unknown");
        return page;
      }),
  },
  {
    defect: "knows the epoch of a topic only from its first entry on",
    caughtBy: ["history answers for an unknown topic with an empty page at offset 0, in the epoch of the entries to come"],
    spoil: ({ history, ...storage }) =>
      reread(storage, async (...what) => {
        const page = await history!.read(...what);
        return page.head.offset === 0 ? { ...page, head: { epoch: 0, offset: 0 } } : page;
      }),
  },
  {
    defect: "begins a page with the entry it was to go on after",
    caughtBy: ["history joins page to page with no gap and no overlap"],
    spoil: ({ history, ...storage }) =>
      reread(storage, (topic, after, ...bounds) => history!.read(topic, Math.max(0, after - 1), ...bounds)),
  },
  {
    defect: "knows no bound in bytes",
    caughtBy: ["history bounds a page in bytes, and puts at least one entry in it"],
    spoil: ({ history, ...storage }) => reread(storage, (topic, after, limit) => history!.read(topic, after, limit)),
  },
  {
    defect: "leaves out an entry that is longer than the bound",
    caughtBy: ["history bounds a page in bytes, and puts at least one entry in it"],
    spoil: ({ history, ...storage }) =>
      reread(storage, async (topic, after, limit, maxBytes = Infinity) => {
        const page = await history!.read(topic, after, limit, maxBytes);
        return { ...page, entries: page.entries.filter(({ bytes }) => bytes.length <= maxBytes) };
      }),
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

/** Changes the pages that are read. */
function reread(
  storage: OpenStorage,
  read: NonNullable<OpenStorage["history"]>["read"],
): OpenStorage {
  return { ...storage, history: { read } };
}
