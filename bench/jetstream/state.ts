import type { NewOutboxRow } from "../../src/ports/outbox.ts";
import type { OpenStorage } from "../../src/ports/storage.ts";
import type { Progress, SessionRecord, UserParts, UserRecord } from "../../src/ports/users.ts";
import type { Topic } from "../../src/protocol/names.ts";
import { asStored } from "../../adapters/conformance/records.ts";
import type { Plan, Report } from "./plan.ts";
import type { Stage } from "./stage.ts";
import { medianMs, perSecond } from "./timing.ts";

/** The public topic that everybody is subscribed to. */
const NEWS = "*/news";
/** Names in a page of a sweep. */
const PAGE = 200;
const NODE = "a node";
/** Long after the benchmark. */
const LATER = Date.now() + 3600_000;

/** Users and the outbox: what is written with compare-and-set, what is read, what it takes at the server. */
export async function measureState(stage: Stage, plan: Plan, report: Report): Promise<void> {
  const storage = await stage.open();
  const { users, outbox } = storage;
  await users.lease(NODE, 3600_000);
  const people = Array.from({ length: plan.users }, (_, index) => person(index));
  const of = (index: number): UserRecord => people[index % people.length]!;

  async function inTurn(measured: string, times: number, task: (index: number) => Promise<unknown>): Promise<void> {
    report(measured, "ms", await medianMs(times, task));
  }
  async function together(measured: string, times: number, task: (index: number) => Promise<unknown>): Promise<void> {
    report(measured, "/s", await perSecond(times, task));
  }
  async function grownBy(task: () => Promise<void>): Promise<number> {
    const before = await stage.stored("STATE");
    await task();
    return ((await stage.stored("STATE")).bytes - before.bytes) / people.length;
  }
  /** Writes the next version of a user. */
  async function put(
    index: number,
    parts: UserParts,
    change: Partial<UserRecord> = {},
    rows: readonly NewOutboxRow[] = [],
  ): Promise<void> {
    const next = { ...of(index), ...change };
    const versions = await users.put(next, parts, rows);
    if (versions === undefined) throw new Error("somebody else wrote");
    people[index % people.length] = asStored(next, versions);
  }
  function turn(index: number): Promise<void> {
    const [phone, ...others] = of(index).sessions;
    return put(index, "devices", { sessions: [{ ...phone!, node: phone!.node === null ? NODE : null }, ...others] });
  }

  const user = await grownBy(async () => {
    await together("a user's first record, with look-ups", people.length, (index) => put(index, "both"));
    await inTurn("a user's record: read", plan.alone, (index) => users.get(of(index).userId));
    await together("a user's record: read", plan.together, (index) => users.get(of(index).userId));
    await inTurn("a user's record: written, nothing else", plan.alone, (index) => put(index, "positions"));
    await together("a user's record: written, nothing else", plan.together, (index) => put(index, "positions"));
  });
  report("a user with one session and two subscriptions", "B", user);

  await inTurn("written as somebody comes or goes", 2 * plan.alone, (index) => turn(index >> 1));
  await together("written as somebody comes or goes", 2 * people.length, turn);

  await inTurn("written with a push", plan.alone, (index) => put(index, "positions", {}, [push(index, "alone")]));
  const row = await grownBy(() =>
    together("written with a push", people.length, (index) => put(index, "positions", {}, [push(index, "first")]))
  );
  report("a push that waits", "B", row);
  const further = await grownBy(() =>
    together(
      "a further session",
      people.length,
      (index) => {
        const progress = { ...of(index).positions.progress, [deviceOf(index, "laptop")]: progressOf(index) };
        const positions = { ...of(index).positions, progress };
        return put(index, "both", { sessions: [...of(index).sessions, session(index, "laptop")], positions });
      },
    )
  );
  report("a further session with a push target", "B", further);

  await measureMembers(storage, people.length, report);
  await inTurn("who has a device, or a push target", plan.alone, (index) => {
    return users.holders({ deviceId: of(index).sessions[0]!.deviceId });
  });

  const { rows } = await outbox.due(Date.now(), people.length);
  if (rows.length < people.length) throw new Error(`of ${people.length} pushes ${rows.length} are due`);
  await together("a push taken from the outbox", rows.length, async (index) => {
    const taken = await outbox.take([rows[index]!.id]);
    if (taken.length === 0) throw new Error("another node took it");
  });
  await together("a push settled", rows.length, (index) => outbox.settle([rows[index]!.id], "sent", ""));
  await storage.close();
}

/** As the sweep of a message to everybody pages through those who are away. */
async function measureMembers({ users }: OpenStorage, count: number, report: Report): Promise<void> {
  const started = performance.now();
  const pages: number[] = [];
  const found = new Set<string>();
  let after: string | undefined;
  do {
    const began = performance.now();
    const { names, next } = await users.pushableMembers(NEWS, { after, limit: PAGE });
    pages.push(performance.now() - began);
    for (const name of names) found.add(name);
    after = next;
  } while (after !== undefined);
  const took = performance.now() - started;
  if (found.size !== count) throw new Error(`of ${count} members ${found.size} were found`);
  report("the members of a public topic who can be pushed to, records checked", "/s", found.size / took * 1_000);
  report("  a page of them", "ms", took / pages.length);
}

function nameOf(index: number): string {
  return `user ${String(index).padStart(7, "0")}`;
}

/** As long as real ones. */
function deviceOf(index: number, kind: string): string {
  return `${kind} of ${nameOf(index)}`.padEnd(22, "-");
}

/** Somebody who is away, with one device. */
export function person(index: number): UserRecord {
  const userId = nameOf(index);
  return {
    ...{ userId, version: 0, seenAt: Date.now() },
    subscriptions: { [`${userId}/default`]: { epoch: 1, offset: 0 }, [NEWS]: { epoch: 1, offset: 0 } },
    sessions: [session(index, "phone")],
    positions: { version: 0, progress: { [deviceOf(index, "phone")]: progressOf(index) }, handled: {} },
  };
}

function session(index: number, kind: string): SessionRecord {
  const deviceId = deviceOf(index, kind);
  return {
    ...{ deviceId, generation: 1, node: null, changedAt: Date.now() },
    targets: [{ id: targetOf(deviceId), provider: "fcm", token: deviceId.padEnd(160, "t"), registeredAt: Date.now() }],
  };
}

function progressOf(index: number): Record<Topic, Progress> {
  const progress = { epoch: 1, from: 0, acked: index, shown: 0, decided: index };
  return { [`${nameOf(index)}/default`]: progress, [NEWS]: progress };
}

function targetOf(deviceId: string): string {
  return `target ${deviceId}`;
}

function push(index: number, what: string): NewOutboxRow {
  const deviceId = deviceOf(index, "phone");
  const targetId = targetOf(deviceId);
  const topic = `${nameOf(index)}/default`;
  return {
    ...{
      id: `${targetId} ${what}`,
      userId: nameOf(index),
      deviceId,
      targetId,
      provider: "webhook",
      topic,
      position: { epoch: 1, offset: index + 1 },
    },
    ...{ messageId: `${what} to ${nameOf(index)}`, urgency: "normal", dueAt: 0, expiresAt: LATER },
    ...{ coalesced: false, rule: "disconnected.away/alert" },
  };
}
