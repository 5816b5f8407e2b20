import { afterEach } from "vitest";
import { memory, type NewOutboxRow, type Storage, type UserParts, type UserRecord } from "../../mod.ts";

/** A put that was made. */
export interface Put {
  readonly record: UserRecord;
  readonly parts: UserParts;
  readonly rows: readonly NewOutboxRow[];
}

/** What a slow store is told, and tells. */
export interface SlowStore {
  readonly storage: Storage;
  /** Of all users, in order. */
  readonly puts: Put[];
  /** How long a user's puts and reads take, virtual milliseconds. Default: no time. */
  readonly delays: Map<string, number>;
}

const stores: { delays: Map<string, number>; waiting: Set<() => void> }[] = [];

/** Nothing takes time any more: the engines of a test can close. */
afterEach(() => {
  for (const { delays, waiting } of stores.splice(0)) {
    delays.clear();
    for (const go of waiting) go();
  }
});

/** A storage in memory in which what is asked of some users takes its time. */
export function slowStore(): SlowStore {
  const puts: Put[] = [];
  const delays = new Map<string, number>();
  const waiting = new Set<() => void>();
  stores.push({ delays, waiting });
  const storage: Storage = {
    async open(context) {
      const opened = await memory().open(context);
      const { users } = opened;
      const wait = (userId: string): Promise<void> => {
        const ms = delays.get(userId);
        if (ms === undefined) return Promise.resolve();
        return new Promise((resolve) => {
          const go = (): void => {
            waiting.delete(go);
            resolve();
          };
          waiting.add(go);
          context.clock.setTimeout(go, ms);
        });
      };
      const [put, get] = [users.put.bind(users), users.get.bind(users)];
      users.put = async (record, parts, rows = []) => {
        puts.push({ record, parts, rows });
        await wait(record.userId);
        return await put(record, parts, rows);
      };
      users.get = async (userId) => {
        await wait(userId);
        return await get(userId);
      };
      return opened;
    },
  };
  return { storage, puts, delays };
}
