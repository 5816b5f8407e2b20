import type { AddedRow, OutboxRow } from "../../src/ports/outbox.ts";
import { user } from "../../adapters/conformance/records.ts";
import type { OpenStorage } from "../../src/ports/storage.ts";
import { type BrokenStorage, over } from "./broken_storage.ts";

export const brokenOutboxes: readonly BrokenStorage[] = [
  {
    defect: "keeps rows in part",
    caughtBy: ["outbox gives back a row as it was added, pending"],
    spoil: (storage) => withRows(storage, (rows) => rows.map((row) => ({ ...row, coalesced: false }))),
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
      outbox: over(storage.outbox, {
        take: async (ids) => (await storage.outbox.take(ids), ids.filter((id) => id !== "unknown")),
      }),
    }),
  },
  {
    defect: "looks for due rows whatever their provider",
    caughtBy: ["outbox lists the due rows of one provider, and when its next one is due"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, { due: (now, limit) => storage.outbox.due(now, limit) }),
    }),
  },
  {
    defect: "takes only the first of many rows",
    caughtBy: ["outbox takes many rows at once, and says which"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, { take: (ids) => storage.outbox.take(ids.slice(0, 1)) }),
    }),
  },
  {
    defect: "finds all rows of a message whatever their ids",
    caughtBy: ["outbox finds some rows of a message by their ids, open or ended, and no others"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, { ofMessage: (messageId) => storage.outbox.ofMessage(messageId) }),
    }),
  },
  {
    defect: "finds rows by their ids, of whichever message",
    caughtBy: ["outbox finds some rows of a message by their ids, open or ended, and no others"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, {
        async ofMessage(messageId, ids) {
          const others = ids === undefined ? [] : await storage.outbox.ofMessage("message of d", ids);
          return [...await storage.outbox.ofMessage(messageId, ids), ...others];
        },
      }),
    }),
  },
  {
    defect: "lists what waits in any topic",
    caughtBy: ["outbox lists the pending rows of targets in a topic, whenever they are due"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, {
        async waiting(targetIds, topic) {
          const all = await Promise.all([topic, "*/news"].map((topic) => storage.outbox.waiting(targetIds, topic)));
          return all.flat();
        },
      }),
    }),
  },
  {
    defect: "counts what waits in a topic whenever it is due",
    caughtBy: ["outbox counts the rows of a topic that are pending and due by then, up to a limit"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, { waitingIn: (topic, _, limit) => storage.outbox.waitingIn(topic, Infinity, limit) }),
    }),
  },
  {
    defect: "puts off no row",
    caughtBy: ["outbox puts off those of some rows that are pending and due sooner, none beyond its expiry, and says why"],
    spoil: (storage) => ({ ...storage, outbox: over(storage.outbox, { postpone: () => Promise.resolve() }) }),
  },
  {
    defect: "puts off rows and does not say why",
    caughtBy: ["outbox puts off those of some rows that are pending and due sooner, none beyond its expiry, and says why"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, { postpone: (ids, dueAt) => storage.outbox.postpone(ids, dueAt, "") }),
    }),
  },
  {
    defect: "keeps a row that another one takes the place of",
    caughtBy: ["outbox adds a row in the place of a pending one, for the entries of both"],
    spoil: (storage) => withRows(storage, (rows) => rows.map(({ replaces: _, ...row }) => row)),
  },
  {
    defect: "takes a row away whatever became of it",
    caughtBy: ["outbox adds a row as it is when the one that it was to replace is not pending"],
    spoil: (storage) =>
      withRows(storage, (rows) => rows.map(({ replaces, ...row }) => replaces === undefined ? row : { ...row, after: 2 })),
  },
  {
    defect: "stores how far a topic is decided whatever the version",
    caughtBy: ["outbox stores how far a topic is decided with rows, if its version is still that one"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, {
        async decide(decision, rows) {
          const stored = await storage.outbox.decision(decision.topic);
          return await storage.outbox.decide({ ...decision, version: stored?.version ?? 0 }, rows);
        },
      }),
    }),
  },
  {
    defect: "adds rows whatever the version of the decision",
    caughtBy: ["outbox stores how far a topic is decided with rows, if its version is still that one"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, {
        async decide(decision, rows) {
          await storage.users.put(user(crypto.randomUUID()), "both", rows);
          return await storage.outbox.decide(decision, rows);
        },
      }),
    }),
  },
  {
    defect: "lists decided topics as undecided",
    caughtBy: ["outbox lists the topics that are not decided yet"],
    spoil(storage) {
      const all = new Set<string>();
      return {
        ...storage,
        outbox: over(storage.outbox, {
          decide(decision, rows) {
            all.add(decision.topic);
            return storage.outbox.decide(decision, rows);
          },
          undecided: () => Promise.resolve({ names: [...all], next: undefined }),
        }),
      };
    },
  },
  {
    defect: "loses a row that is to be tried again",
    caughtBy: ["outbox brings a retried row back at its time, its tries counted"],
    spoil: (storage) => ({ ...storage, outbox: over(storage.outbox, { retry: () => Promise.resolve() }) }),
  },
  {
    defect: "gives back whichever attempt is under way",
    caughtBy: ["outbox gives back the attempt that is named, and no later one"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, {
        retry: (takes, dueAt, note) =>
          storage.outbox.retry(takes.flatMap(({ id }) => [0, 1, 2, 3].map((attempts) => ({ id, attempts }))), dueAt, note),
      }),
    }),
  },
  {
    defect: "does not end rows that are being sent",
    caughtBy: ["outbox ends rows that are pending or sending, once"],
    spoil(storage) {
      const sending = new Set<string>();
      const outbox = over(storage.outbox, {
        take(ids) {
          for (const id of ids) sending.add(id);
          return storage.outbox.take(ids);
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
    defect: "drops by ids whatever the user's other rows",
    caughtBy: ["outbox drops by ids the user's pending rows that have them, and only those"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, { cancel: ({ ids: _ids, ...match }, note) => storage.outbox.cancel(match, note) }),
    }),
  },
  {
    defect: "takes an empty list of ids for none at all",
    caughtBy: ["outbox drops by ids the user's pending rows that have them, and only those"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, {
        cancel: ({ ids = [], ...match }, note) => storage.outbox.cancel(ids.length === 0 ? match : { ...match, ids }, note),
      }),
    }),
  },
  {
    defect: "drops rows of these ids whatever else is named",
    caughtBy: ["outbox drops by ids the user's pending rows that have them, and only those"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, {
        cancel: ({ userId, ids, ...match }, note) =>
          storage.outbox.cancel(ids === undefined ? { userId, ...match } : { userId, ids }, note),
      }),
    }),
  },
  {
    defect: "drops rows of these ids whosever they are",
    caughtBy: ["outbox drops by ids the user's pending rows that have them, and only those"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, {
        async cancel({ ids, ...match }, note) {
          if (ids === undefined) return await storage.outbox.cancel(match, note);
          const users = ["sara", "omid"].map((userId) => storage.outbox.cancel({ ...match, userId, ids }, note));
          return (await Promise.all(users)).flat();
        },
      }),
    }),
  },
  {
    defect: "ends rows of these ids that are being sent",
    caughtBy: ["outbox drops by ids the user's pending rows that have them, and only those"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, {
        async cancel(match, note) {
          const dropped = await storage.outbox.cancel(match, note);
          await storage.outbox.settle(match.ids ?? [], "dropped", note);
          return dropped;
        },
      }),
    }),
  },
  {
    defect: "looks for pushes under way whatever their ids",
    caughtBy: ["outbox says whether rows that match are under way, until they are settled or given back"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, { underWay: ({ ids: _ids, ...match }) => storage.outbox.underWay(match) }),
    }),
  },
  {
    defect: "forgets how a push is named at its service",
    caughtBy: ["outbox keeps the handle of a push with the row that it is named after, and with no other"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, { settle: (ids, end, note) => storage.outbox.settle(ids, end, note) }),
    }),
  },
  {
    defect: "gives a push's name to each of its rows",
    caughtBy: ["outbox keeps the handle of a push with the row that it is named after, and with no other"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, {
        async settle(ids, end, note, handle) {
          for (const id of ids) await storage.outbox.settle([id], end, note, handle);
        },
      }),
    }),
  },
  {
    defect: "forgets what a push covers",
    caughtBy: ["outbox says of rows that left as one push what the one that it is named after covers, and of no other row"],
    spoil: (storage) => withCovers(storage, () => []),
  },
  {
    defect: "names a push after each of its rows",
    caughtBy: ["outbox says of rows that left as one push what the one that it is named after covers, and of no other row"],
    spoil(storage) {
      const together = new Map<string, readonly string[]>();
      return withCovers(
        over(storage, {
          outbox: over(storage.outbox, {
            settle(ids, end, note) {
              if (end === "sent") { for (const id of ids) together.set(id, ids.filter((other) => other !== id)); }
              return storage.outbox.settle(ids, end, note);
            },
          }),
        }),
        ({ id, covers }) => together.get(id) ?? covers,
      );
    },
  },
  {
    defect: "takes rows for one push that ended together without leaving",
    caughtBy: ["outbox says of rows that left as one push what the one that it is named after covers, and of no other row"],
    spoil(storage) {
      const together = new Map<string, readonly string[]>();
      return withCovers(
        over(storage, {
          outbox: over(storage.outbox, {
            settle(ids, end, note) {
              if (end !== "sent") together.set(ids[0]!, ids.slice(1));
              return storage.outbox.settle(ids, end, note);
            },
          }),
        }),
        ({ id, covers }) => together.get(id) ?? covers,
      );
    },
  },
  {
    defect: "lets a late word change what a push covers",
    caughtBy: ["outbox says of rows that left as one push what the one that it is named after covers, and of no other row"],
    spoil(storage) {
      const last = new Map<string, readonly string[]>();
      return withCovers(
        over(storage, {
          outbox: over(storage.outbox, {
            settle(ids, end, note) {
              if (ids.length > 0) last.set(ids[0]!, end === "sent" ? ids.slice(1) : []);
              return storage.outbox.settle(ids, end, note);
            },
          }),
        }),
        ({ id, covers }) => last.get(id) ?? covers,
      );
    },
  },
  {
    defect: "ends only the first of the rows that left as one push",
    caughtBy: ["outbox says of rows that left as one push what the one that it is named after covers, and of no other row"],
    spoil(storage) {
      const sent = new Map<string, readonly string[]>();
      return withCovers(
        over(storage, {
          outbox: over(storage.outbox, {
            settle(ids, end, note) {
              if (end !== "sent") return storage.outbox.settle(ids, end, note);
              if (ids.length > 1) sent.set(ids[0]!, ids.slice(1));
              return storage.outbox.settle(ids.slice(0, 1), end, note);
            },
          }),
        }),
        ({ id, covers }) => sent.get(id) ?? covers,
      );
    },
  },
  {
    defect: "knows of no push that is under way",
    caughtBy: ["outbox says whether rows that match are under way, until they are settled or given back"],
    spoil: (storage) => ({ ...storage, outbox: over(storage.outbox, { underWay: () => Promise.resolve(false) }) }),
  },
  {
    defect: "looks for pushes under way among all of a user's, whatever is named",
    caughtBy: ["outbox says whether rows that match are under way, until they are settled or given back"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, { underWay: ({ userId }) => storage.outbox.underWay({ userId }) }),
    }),
  },
  {
    defect: "lists of all that waits for a target what is due only",
    caughtBy: ["outbox lists the pending rows of targets in all topics, whenever they are due"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, {
        waiting: async (targetIds, topic) => {
          if (topic !== undefined) return await storage.outbox.waiting(targetIds, topic);
          return (await storage.outbox.due(1e12, 1_000)).rows.filter(({ targetId }: OutboxRow) => targetIds.includes(targetId));
        },
      }),
    }),
  },
  {
    defect: "forgets that a row is silent",
    caughtBy: ["outbox lists the pending rows of targets in all topics, whenever they are due"],
    spoil: (storage) => withRows(storage, (rows) => rows.map(({ silent: _, ...row }) => row)),
  },
  {
    defect: "knows only the pending rows of a message",
    caughtBy: ["outbox knows every row of a message, however it ended"],
    spoil: (storage) => ({
      ...storage,
      outbox: over(storage.outbox, {
        ofMessage: async (...what) => (await storage.outbox.ofMessage(...what)).filter(({ status }) => status === "pending"),
      }),
    }),
  },
];

function withRows(storage: OpenStorage, change: (rows: readonly AddedRow[]) => readonly AddedRow[]): OpenStorage {
  const { users } = storage;
  return { ...storage, users: over(users, { put: (record, parts, rows = []) => users.put(record, parts, change(rows)) }) };
}

/** Changes what is told of the rows that left with a row. */
function withCovers(storage: OpenStorage, coversOf: (row: OutboxRow) => readonly string[]): OpenStorage {
  const { outbox } = storage;
  const told = (row: OutboxRow): OutboxRow => ({ ...row, covers: coversOf(row) });
  return {
    ...storage,
    outbox: over(outbox, { ofMessage: async (...what) => (await outbox.ofMessage(...what)).map(told) }),
  };
}
