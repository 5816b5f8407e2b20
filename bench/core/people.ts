import type { OpenStorage, Progress, SessionRecord, Storage, Topic, UserRecord } from "../../mod.ts";
import { systemClock, systemLogger, systemRandom } from "../../src/system.ts";
import { phoneOf } from "./device.ts";

/** That a storage opens is no news here. */
export const quiet = { ...systemLogger(), info() {} };

/** Puts under way at a time while a storage is filled. */
const WIDTH = 2_000;

export interface Person {
  userId: string;
  /** Away devices. Default: a phone. */
  devices?: readonly string[];
  /** How many of these can be pushed to. Default: all. */
  reachable?: number;
  /** The push service that brings it. Default "push". */
  provider?: string;
  /** How a push reaches the devices. Default: by a token that is no one's. */
  target?: { token: string; app: string };
  /** Public channels. */
  channels?: readonly string[];
}

/** A person who is away on all devices and has read everything. */
export function away(person: Person, epoch: number): UserRecord {
  const { channels = [], provider = "push", target: address, userId, devices = [phoneOf(userId)], reachable = devices.length } =
    person;
  const topics: Topic[] = [`${userId}/default`, ...channels.map((channel) => `*/${channel}`)];
  const now = Date.now();
  const begun: Progress = { epoch, from: 0, acked: 0, shown: 0, decided: 0 };
  return {
    ...{ userId, version: 0, seenAt: now },
    subscriptions: Object.fromEntries(topics.map((topic) => [topic, { epoch, offset: 0 }])),
    sessions: devices.map((deviceId, index): SessionRecord => {
      const target = { id: `target of ${deviceId}`, provider, token: `token of ${deviceId}`, registeredAt: now, ...address };
      return { deviceId, generation: 1, node: null, changedAt: now, targets: index < reachable ? [target] : [] };
    }),
    positions: {
      ...{ version: 0, handled: {} },
      progress: Object.fromEntries(devices.map((deviceId) => {
        return [deviceId, Object.fromEntries(topics.map((topic) => [topic, begun]))];
      })),
    },
  };
}

/** Writes them into a storage that no engine uses at the moment. */
export async function fill(
  storage: Storage,
  count: number,
  person: (index: number) => Person,
  said?: (done: number) => void,
): Promise<void> {
  const opened = await openAlone(storage);
  const { head: { epoch } } = await opened.history!.read("*/nothing", 0, 1);
  let made = 0;
  await Promise.all(Array.from({ length: Math.min(count, WIDTH) }, async () => {
    while (made < count) {
      const index = made++;
      if (index > 0 && index % 20_000 === 0) said?.(index);
      await opened.users.put(away(person(index), epoch), "both");
    }
  }));
  await opened.close();
}

/** Without an engine. */
export function openAlone(storage: Storage): Promise<OpenStorage> {
  return storage.open({ clock: systemClock(), logger: quiet, random: systemRandom() });
}
