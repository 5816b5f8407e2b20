import type { Storage, Topic, Users } from "../../mod.ts";

/** What is counted at a storage, and what is made slower. */
export class Watch {
  puts = 0;
  /** Reads of the pushes that are due. */
  dueReads = 0;
  /** How far each topic's entries have been handled as work. */
  readonly swept = new Map<Topic, number>();
  /** The users of the storage that was opened last. */
  users: Users | undefined;
  /** A push is about to be taken. */
  onTake: (() => void) | undefined;
  /** How long reading or writing this user's record takes more, milliseconds. */
  delayOf: ((userId: string) => number) | undefined;
}

/** A storage that says what is asked of it. */
export function watched(storage: Storage, watch: Watch): Storage {
  const delay = async (userId: string): Promise<void> => {
    const ms = watch.delayOf?.(userId) ?? 0;
    if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
  };
  return {
    async open(context) {
      const opened = await storage.open(context);
      const { outbox, users, work } = opened;
      watch.users = users;
      return {
        ...opened,
        close: () => opened.close(),
        users: instead(users, {
          async get(userId) {
            await delay(userId);
            return await users.get(userId);
          },
          async put(record, ...rest) {
            watch.puts++;
            await delay(record.userId);
            return await users.put(record, ...rest);
          },
        }),
        outbox: instead(outbox, {
          due(...asked) {
            watch.dueReads++;
            return outbox.due(...asked);
          },
          take(...asked) {
            watch.onTake?.();
            return outbox.take(...asked);
          },
        }),
        ...(work && {
          work: instead(work, {
            consume: (handler) =>
              work.consume(async (item) => {
                await handler(item);
                watch.swept.set(item.topic, Math.max(watch.swept.get(item.topic) ?? 0, item.head.offset));
              }),
          }),
        }),
      };
    },
  };
}

/** A port of which some methods are others. What it does not have stays away. */
function instead<Port extends object>(port: Port, others: Partial<Port>): Port {
  return new Proxy(port, {
    get(target, name) {
      const found: unknown = Reflect.get(others, name) ?? Reflect.get(target, name);
      return typeof found === "function" ? found.bind(target) : found;
    },
  });
}
