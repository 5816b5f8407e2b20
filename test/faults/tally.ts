import type { OutboxRow } from "../../mod.ts";
import type { Device } from "./device.ts";
import { NEWS, type Published } from "./load.ts";
import { POLICY, type Stage } from "./stage.ts";

/** What came of a scenario. */
export interface Tally {
  accepted: number;
  refused: number;
  /** Refusals that do not say that it may be tried again: there must be none. */
  refusedForGood: number;
  /** Deliveries that the accepted messages make. */
  deliveries: number;
  /** Of them, where the handler ran and the storage knows it. */
  acked: number;
  /** Messages and targets, each pair once, and how many requests for them there were beside the first. */
  pushed: number;
  pushedAgain: number;
  /** Pairs that were to be pushed while the device was not there, and were not. */
  unpushed: number;
  /** Which these are, by device. */
  untold: string[];
  /** Taken by a node that could not write down what became of them: the outbox gives them out again in a minute or two. */
  underWay: number;
  /** Pushes for devices that were being served. */
  needless: number;
  /** Pushes that left long after the device had handled the message. */
  late: number;
  /** Two pushes for one message and target that do not look like one. */
  strangers: number;
  /** Messages that a node wrote to devices which it had lost to another one. */
  strays: number;
  duplicates: number;
  lost: number;
  missing: string[];
  /** Other things a device complained of: order, gaps. */
  complaints: string[];
  /** The longest times without a message at a device that stayed, by the node it was on. */
  gaps: number[];
  /** From the first node's last lease until all of the devices that vanished from it were decided for, and had their first push. */
  decidedMs: number | undefined;
  pushedMs: number | undefined;
}

/** A state that does not change for so long is the last one. */
const PATIENCE_MS = 20_000;
/** What is open is looked up when it is no more than this: as many as all nodes can have had in their hands when writes failed. */
const MOST_ASKED_FOR = 2_000;

/** A node that died, or seemed to. */
export interface Death {
  /** When its lease was last renewed, milliseconds since 1970. */
  leasedAt: number;
  /** When all of the devices that vanished from it were decided for. */
  decidedAt: Promise<number>;
}

/** Waits until everything has come where it belongs, or nothing moves any more, and counts. */
export async function settle(stage: Stage, death?: Death): Promise<Tally> {
  const { devices, load, receiver } = stage;
  const { accepted } = load;
  const loadedFrom = load.published[0]!.at;
  const loadedTo = load.published.at(-1)!.at;
  const ofUser = Map.groupBy(accepted, ({ to }) => to);
  const wanted = (device: Device): Published[] => [...ofUser.get("*") ?? [], ...ofUser.get(device.userId) ?? []];
  const missing = (device: Device): Published[] => wanted(device).filter(({ id }) => !device.handled.has(id));
  const gone = devices.filter(({ role }) => role !== "stays");
  const stayed = devices.filter(({ role }) => role === "stays");

  await whileMoving(() => sum(stayed, (device) => missing(device).length));
  const gaps = stage.nodes.map((_, node) =>
    Math.max(
      0,
      ...stayed.filter(({ home }) => home % stage.nodes.length === node).map((device) =>
        longestGap(device, loadedFrom, loadedTo)
      ),
    )
  );

  const isTold = ({ token }: Device, { id, to, position }: Published): boolean =>
    receiver.tells(token, { id, topic: topicOf(to), offset: position!.offset });
  /** After an outage one push stands for all that waits for a target, of any topic, and does not name them. */
  const unpushed = (device: Device): Published[] => {
    const unnamed = missing(device).filter((message) => !isTold(device, message));
    const { messages, until } = receiver.stoodFor(device.token);
    const stoodFor = new Set(unnamed.filter(({ at }) => at <= until).slice(0, messages));
    return unnamed.filter((message) => !stoodFor.has(message));
  };
  /** What is to be pushed yet: free, or in the hands of a node that could not say what became of it. */
  async function unsent(): Promise<{ free: number; taken: number }> {
    const open = gone.flatMap((device) => unpushed(device).map((message) => ({ id: message.id, device, message })));
    if (open.length > MOST_ASKED_FOR) return { free: open.length, taken: 0 };
    const messageIds = [...new Set(open.map(({ id }) => id))];
    const found = await stage.nodes.find(({ usable }) => usable)!.ask<OutboxRow[][]>({ type: "rows", messageIds });
    const rowsOf = new Map(messageIds.map((id, index) => [id, found[index]!]));
    const still = open.map((pair) => ({ ...pair, rows: rowsOf.get(pair.id)! }))
      .filter(({ device, message }) => unpushed(device).includes(message));
    const taken =
      still.filter(({ device, rows }) =>
        rows.some(({ deviceId, dueAt, status }) =>
          deviceId === device.deviceId && (status === "sending" || (status === "pending" && dueAt > Date.now()))
        )
      ).length;
    return { free: still.length - taken, taken };
  }
  let left = { free: 0, taken: 0 };
  await whileMoving(async () => (left = await unsent()).free);
  const untold = left.free === 0 ? [] : await Promise.all(gone.map(async (device) => {
    const open = unpushed(device).map(({ id, position }) => `${id}@${position!.offset}`);
    const [record] = await stage.recordsOf([device.userId]);
    return `${device.userId}: ${open.join(" ")}; ${JSON.stringify(record?.positions.progress[device.deviceId])}`;
  }));
  const vanished = gone.filter(({ role }) => role === "vanishes");
  const pushedMs = death && lastFirstPush(vanished, stage) - death.leasedAt;
  const decidedMs = death && await death.decidedAt - death.leasedAt;
  const [pushed, needless] = [countPushes(stage), sum(stayed, (device) => needlessPushes(device, stage, loadedTo))];

  // Who was not there comes back, and has it all.
  for (const device of gone) device.connect(1);
  await whileMoving(() => sum(gone, (device) => missing(device).length));
  await whileMoving(() => countUnacked(stage, wanted));

  const deliveries = sum(devices, (device) => wanted(device).length);
  const refused = load.published.filter(({ state }) => state === "refused");
  return {
    accepted: accepted.length,
    refused: refused.length,
    refusedForGood: refused.filter(({ fault }) => !fault!.retryable).length,
    deliveries,
    acked: deliveries - await countUnacked(stage, wanted),
    ...pushed,
    unpushed: left.free,
    untold,
    underWay: left.taken,
    needless,
    late: sum(stayed, (device) => latePushes(device, stage)),
    strangers: receiver.strangers.length,
    strays: sum(devices, ({ strays }) => strays),
    duplicates: sum(devices, ({ duplicates }) => duplicates),
    lost: sum(devices, (device) => missing(device).length),
    missing: devices.flatMap((device) => {
      const ids = missing(device).map(({ id, to, position, at }) => `${id}->${to}@${position!.offset} +${at - loadedFrom}`);
      return ids.length === 0
        ? []
        : [`${device.userId} ${device.role} ${device.home}: ${ids.length}: ${ids.slice(0, 6).join(", ")} .. ${ids.at(-1)}`];
    }),
    complaints: devices.flatMap(({ complaints, userId }) => complaints.map((complaint) => `${userId}: ${complaint}`)),
    gaps,
    decidedMs,
    pushedMs,
  };
}

/** What is right whatever happened. */
export const RIGHT: Partial<Tally> = {
  refusedForGood: 0,
  unpushed: 0,
  untold: [],
  needless: 0,
  strangers: 0,
  strays: 0,
  duplicates: 0,
  lost: 0,
  missing: [],
  complaints: [],
};

/** One line. */
export function describeTally(name: string, tally: Tally): string {
  const {
    accepted,
    refused,
    deliveries,
    acked,
    pushed,
    pushedAgain,
    underWay,
    needless,
    late,
    duplicates,
    lost,
    gaps,
    decidedMs,
    pushedMs,
  } = tally;
  const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;
  return [
    `${name}: accepted ${accepted}, refused ${refused}, deliveries ${deliveries}, acked ${acked}`,
    `pushed ${pushed} (again ${pushedAgain}, under way ${underWay}, needless ${needless}, late ${late}), duplicates ${duplicates}, lost ${lost}`,
    `longest gap on each node ${gaps.map(seconds).join(", ")}`,
    ...(decidedMs === undefined ? [] : [`decided ${seconds(decidedMs)}, pushed ${seconds(pushedMs!)} after the last lease`]),
  ].join("; ");
}

function longestGap({ servedAt }: Device, from: number, to: number): number {
  let longest = 0;
  let before = from;
  for (const at of servedAt) {
    longest = Math.max(longest, Math.min(at, to) - before);
    before = Math.max(before, at);
  }
  return Math.max(longest, to - before);
}

function countPushes({ receiver }: Stage): { pushed: number; pushedAgain: number } {
  const all = [...receiver.pushes.values()].flatMap((pushes) => [...pushes.values()]);
  return { pushed: all.length, pushedAgain: sum(all, ({ requests }) => requests - 1) };
}

/**
 * Pushes to a device that stayed are right only when it was without any message for as long as a socket is trusted, or a lost one
 * waited for; the push must have come within that silence or after it, for something published before its end.
 */
function needlessPushes(device: Device, { load, receiver }: Stage, loadedTo: number): number {
  const pushes = receiver.pushes.get(device.token);
  if (pushes === undefined) return 0;
  const trusted = Math.min(POLICY.graceMs, POLICY.ackTimeoutMs);
  const silences: { from: number; to: number }[] = [...device.absences];
  let before = load.published[0]!.at;
  for (const at of [...device.servedAt, loadedTo]) {
    if (at - before >= trusted) silences.push({ from: before, to: at });
    before = at;
  }
  const publishedAt = new Map(load.published.map(({ id, at }) => [id, at]));
  return [...pushes].filter(([id, { firstAt }]) =>
    !silences.some(({ from, to }) => publishedAt.get(id)! <= to && firstAt >= from)
  )
    .length;
}

/** An ack is stored a second after it came at the latest. */
const ACKED_MS = 2_000;

function latePushes({ token, handled }: Device, { receiver }: Stage): number {
  const pushes = [...receiver.pushes.get(token) ?? []];
  return pushes.filter(([id, { firstAt }]) => firstAt - (handled.get(id) ?? Infinity) > ACKED_MS).length;
}

function lastFirstPush(vanished: readonly Device[], { receiver }: Stage): number {
  const firsts = vanished.map(({ token }) =>
    Math.min(...[...receiver.pushes.get(token)?.values() ?? []].map(({ firstAt }) => firstAt))
  );
  return Math.max(...firsts);
}

/** What the storage does not know to be acked, though it was accepted. */
async function countUnacked(stage: Stage, wanted: (device: Device) => Published[]): Promise<number> {
  const { devices } = stage;
  let unacked = 0;
  for (let at = 0; at < devices.length; at += 200) {
    const some = devices.slice(at, at + 200);
    const records = await stage.recordsOf(some.map(({ userId }) => userId));
    some.forEach((device, index) => {
      const own = records[index]?.positions.progress[device.deviceId];
      unacked += wanted(device).filter(({ to, position }) => {
        const progress = own?.[topicOf(to)];
        return progress?.epoch !== position!.epoch || progress.acked < position!.offset;
      }).length;
    });
  }
  return unacked;
}

/** Until nothing is left, or the number has stayed the same for too long. */
async function whileMoving(left: () => number | Promise<number>): Promise<void> {
  let [least, since] = [Infinity, Date.now()];
  for (;;) {
    const now = await left();
    if (now === 0) return;
    if (now < least) [least, since] = [now, Date.now()];
    if (Date.now() - since > PATIENCE_MS) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function sum<Item>(items: readonly Item[], value: (item: Item) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}

function topicOf(to: string): string {
  return to === "*" ? `*/${NEWS}` : `${to}/default`;
}
