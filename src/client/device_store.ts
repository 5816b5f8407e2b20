import { fingerprint } from "../protocol/fingerprint.ts";
import type { Cursor } from "../protocol/frames.ts";
import { checkName, type Topic } from "../protocol/names.ts";
import { type ClientStorage, type Environment, randomId } from "./environment.ts";

/** Cursors kept, at most. The one that moved longest ago goes first. */
const MAX_CURSORS = 1000;
const WRITE_AFTER_MS = 250;

/** What survives a reload: who this device is, and how far it is in each topic. */
export interface DeviceStore {
  readonly deviceId: string;
  /** Names this installation to other tabs. Tells nothing of the deviceId. */
  readonly name: string;
  /** Reads what an earlier life, or another tab, left. */
  load(): void;
  cursors(): Cursor[];
  cursor(topic: Topic): Cursor | undefined;
  move(cursor: Cursor): void;
  forget(topic: Topic): void;
  /** Forgets all cursors when they are somebody else's. Says whether they were. */
  claim(userId: string | undefined): boolean;
  /** Writes now what waits to be written. */
  flush(): void;
}

/** @throws {PeykError} `bad-name` for a deviceId that is none */
export function createDeviceStore({ storage, time }: Environment, url: string, givenId: string | undefined): DeviceStore {
  const deviceId = givenId === undefined ? keptDeviceId(storage, `peyk:${url}`) : checkName(givenId, "deviceId");
  const name = `peyk:${fingerprint(`${url} ${deviceId}`)}`;
  let owner: string | undefined;
  let cursors = new Map<Topic, Cursor>();
  let timer: unknown;

  function changed(): void {
    timer ??= time.setTimeout(flush, WRITE_AFTER_MS);
  }

  function flush(): void {
    if (timer === undefined) return;
    time.clearTimeout(timer);
    timer = undefined;
    const rows = [...cursors.values()].map(({ topic, epoch, offset }) => [topic, epoch, offset]);
    attempt(() => storage?.set(name, JSON.stringify([owner, rows])));
  }

  return {
    deviceId,
    name,
    load() {
      const kept = attempt(() => JSON.parse(storage?.get(name) ?? "null"));
      if (!Array.isArray(kept) || !Array.isArray(kept[1])) return;
      owner = kept[0] ?? undefined;
      cursors = new Map(kept[1].map(([topic, epoch, offset]) => [topic, { topic, epoch, offset }]));
    },
    cursors: () => [...cursors.values()],
    cursor: (topic) => cursors.get(topic),
    move(cursor) {
      cursors.delete(cursor.topic);
      cursors.set(cursor.topic, cursor);
      if (cursors.size > MAX_CURSORS) cursors.delete(cursors.keys().next().value!);
      changed();
    },
    forget(topic) {
      if (cursors.delete(topic)) changed();
    },
    claim(userId) {
      const others = owner !== undefined && owner !== userId;
      if (others) cursors.clear();
      if (owner !== userId) changed();
      owner = userId;
      return others;
    },
    flush,
  };
}

function keptDeviceId(storage: ClientStorage | undefined, key: string): string {
  const kept = attempt(() => storage?.get(key));
  if (kept) return kept;
  const made = randomId();
  attempt(() => storage?.set(key, made));
  return made;
}

/** A storage that fails costs a repeated message after a reload, never the session. */
function attempt<Result>(task: () => Result): Result | undefined {
  try {
    return task();
  } catch {
    return undefined;
  }
}
