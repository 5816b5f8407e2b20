import { fingerprint } from "../protocol/fingerprint.ts";
import type { Cursor } from "../protocol/frames.ts";
import { nameFault, splitTopic, type Topic } from "../protocol/names.ts";
import { attempt } from "./attempt.ts";
import { type Environment, randomId } from "./environment.ts";

/** Counts the forms in which this is kept. A value of a higher one is another client's: it is left alone. */
const FORMAT = 2;
/** Cursors kept, at most. The one that moved longest ago goes first. */
const MAX_CURSORS = 1000;
const WRITE_AFTER_MS = 250;
/** Devices whose sign-out is kept, at most: one hello tells all, and has little room. */
const MAX_SIGNED_OUT = 4;

/** What survives a reload: who this device is, and how far it is in each topic. */
export interface DeviceStore {
  readonly deviceId: string;
  /** The deviceId is kept nowhere: it ends with this page. */
  readonly temporary: boolean;
  /**
   * This tab leads: reads what the former leader left, and from here on writes.
   * @param heard the highest term that this tab knows of
   * @returns its term, above all before
   */
  begin(heard: number): number;
  /** A later client has written here: to share with it is not possible. */
  isLost(): boolean;
  /** Another tab has the device: this one is a temporary device of its own from here on. */
  separate(): void;
  cursors(): Cursor[];
  cursor(topic: Topic): Cursor | undefined;
  move(cursor: Cursor): void;
  forget(topic: Topic): void;
  /** Forgets all cursors when they are somebody else's. Says whether they were. */
  claim(userId: string | undefined): boolean;
  /** Writes now what waits to be written. */
  flush(): void;
  /** The device is to be signed out: if not on this connection, then at the next start. */
  signOut(): void;
  /** Devices that are to be signed out. */
  signedOut(): string[];
  /** The engine has heard of them, or need not. */
  told(deviceIds: readonly string[]): void;
}

/** What is kept of a device. */
interface Kept {
  readonly deviceId: string | undefined;
  readonly owner: string | undefined;
  readonly cursors: Cursor[];
}

export interface DeviceStoreOptions {
  environment: Environment;
  url: string;
  /** The key. Undefined: nothing is kept, the device is a temporary one. */
  name: string | undefined;
  /** By the app. Undefined: one is made. */
  deviceId: string | undefined;
}

export function createDeviceStore({ environment, url, name, deviceId: given }: DeviceStoreOptions): DeviceStore {
  const { page, storage, time } = environment;
  const signOuts = `peyk:${fingerprint(url)}:out`;
  let deviceId = name ? given : undefined;
  let temporary = !name;
  let term = 0;
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
    if (!temporary) write();
  }

  /** Says whether it is kept. A later leader's, or a later client's, stays as it is. */
  function write(): boolean {
    const last = read(name!);
    if (isLater(last) || termOf(last) > term) return false;
    const rows = [...cursors.values()].map(({ topic, epoch, offset }) => [topic, epoch, offset]);
    return keep(name!, [FORMAT, term, given ? null : deviceId, owner, rows]);
  }

  function read(key: string): string | undefined {
    return attempt(() => storage?.get(key)) ?? undefined;
  }

  function keep(key: string, value: unknown): boolean {
    return attempt(() => storage && (storage.set(key, JSON.stringify(value)), true)) ?? false;
  }

  function separate(): void {
    temporary = true;
    deviceId = randomId();
  }

  /** Entries that are no deviceIds are left out: other code of the site, or a person, may write there too. */
  function listed(): string[] {
    const list = parse(read(signOuts));
    return Array.isArray(list) ? list.filter((id) => !nameFault(id)).slice(-MAX_SIGNED_OUT) : [];
  }

  return {
    get deviceId() {
      return deviceId!;
    },
    get temporary() {
      return temporary;
    },
    begin(heard) {
      const text = name && read(name);
      const kept = keptIn(text);
      term = Math.max(termOf(text), heard) + 1;
      if (temporary || isLater(text)) {
        if (!temporary || !deviceId) separate();
        return term;
      }
      owner = kept.owner;
      cursors = new Map(kept.cursors.map((cursor) => [cursor.topic, cursor]));
      deviceId = given ?? kept.deviceId ?? deviceId ?? randomId();
      // In a page, a device that nobody will find again is no place to push to.
      if (!write() && page && !given && !kept.deviceId) temporary = true;
      return term;
    },
    isLost: () => name !== undefined && isLater(read(name)),
    separate,
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
    signOut() {
      // A tab that does not lead reads who the device is.
      const id = deviceId ?? (name && keptIn(read(name)).deviceId);
      if (id && !temporary) keep(signOuts, [...new Set([...listed(), id])]);
    },
    signedOut: listed,
    told(deviceIds) {
      if (deviceIds.length > 0) keep(signOuts, listed().filter((id) => !deviceIds.includes(id)));
    },
  };
}

/** The format and the term, of a value that begins like one of ours. */
function headOf(text: string | undefined): number[] {
  return /^\[(\d+),(\d+)[,\]]/.exec(text ?? "")?.slice(1).map(Number) ?? [];
}

function isLater(text: string | undefined): boolean {
  return headOf(text)[0]! > FORMAT;
}

/** 0: it is none of this format. */
function termOf(text: string | undefined): number {
  const [format, term] = headOf(text);
  return format === FORMAT && Number.isSafeInteger(term) ? term! : 0;
}

function keptIn(text: string | undefined): Kept {
  const value = termOf(text) > 0 ? parse(text) : undefined;
  const [, , deviceId, owner, rows] = Array.isArray(value) ? value : [];
  return {
    deviceId: nameFault(deviceId) ? undefined : deviceId,
    owner: typeof owner === "string" ? owner : undefined,
    cursors: (Array.isArray(rows) ? rows : []).flatMap((row) => attempt(() => cursorOf(row)) ?? []),
  };
}

/** @throws for a row that is none */
function cursorOf([topic, epoch, offset]: [Topic, number, number]): Cursor | undefined {
  splitTopic(topic);
  return [epoch, offset].every((value) => Number.isSafeInteger(value) && value >= 0) ? { topic, epoch, offset } : undefined;
}

function parse(text: string | undefined): unknown {
  return attempt(() => JSON.parse(text ?? "null"));
}
