import type { OpenStorage } from "../../src/ports/storage.ts";
import { type BrokenStorage, over } from "./broken_storage.ts";

export const brokenWorks: readonly BrokenStorage[] = [
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
    defect: "works on two topics at a time, whosever they are",
    caughtBy: ["work hands out other users' topics while all of one user take their time"],
    spoil: (storage) =>
      rework(storage, (handler) => {
        const running = new Set<Promise<void>>();
        return async (item) => {
          while (running.size >= 2) await Promise.race(running);
          const run = handler(item);
          running.add(run);
          return await run.finally(() => running.delete(run));
        };
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

type Consume = NonNullable<OpenStorage["work"]>["consume"];
type Handler = Parameters<Consume>[0];

/** Changes what a consumer's handler gets. */
function rework(storage: OpenStorage, change: (handler: Handler) => Handler): OpenStorage {
  return { ...storage, work: { consume: (handler) => storage.work!.consume(change(handler)) } };
}
