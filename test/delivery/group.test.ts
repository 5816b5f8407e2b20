import { expect, test } from "vitest";
import { Group, type Member } from "../../src/delivery/group.ts";
import { openEphemeral } from "../../src/delivery/opened_entry.ts";
import type { Outlet } from "../../src/delivery/outlet.ts";
import { CHAIN_ROOM, type ChainPlace, MAX_UNSEEN, type Sending, Unseen } from "../../src/delivery/unseen.ts";
import type { Connection } from "../../src/ports/connection.ts";
import { encodeEnvelope, encodePayload } from "../../src/protocol/codec.ts";

const payload = encodePayload("hi", undefined);
const entry = openEphemeral(
  "*/news",
  encodeEnvelope({ id: "m", from: undefined, sentAt: 0, expiresAt: 0, options: undefined, payload }),
);
const runOf = (length: number): Sending[] => Array.from({ length }, (_, at) => ({ entry, at }));

/** Somebody with a connection and a window, and nothing else. */
class Somebody implements Member<Somebody> {
  index = -1;
  group: Group<Somebody> | undefined = undefined;
  chained: ChainPlace | undefined = undefined;
  sent: number;
  readonly acked = 0;
  readonly connection: Connection = { send: () => true, bufferedAmount: 0, close() {} };
  readonly session: { state: number; outlet: Outlet; unseen: Unseen };

  constructor(state: number, sent: number) {
    this.sent = sent;
    this.session = { state, outlet: { connection: this.connection } as Outlet, unseen: new Unseen() };
  }
}

function groupOf(count: number): { group: Group<Somebody>; members: Somebody[] } {
  const group = new Group<Somebody>(3, 10);
  const members = Array.from({ length: count }, () => new Somebody(3, 10));
  for (const member of members) group.add(member);
  return { group, members };
}

/** Whom the group would write to now. */
function connectionsOf(group: Group<Somebody>, members: readonly Somebody[]): Somebody[] {
  const called = group.connections.map((connection) => members.find((member) => member.connection === connection)!);
  expect(called).toEqual(group.readers);
  return called;
}

test("takes whoever is in the same state at the same position, and nobody else", () => {
  const { group } = groupOf(1);
  expect(group.takes(new Somebody(3, 10))).toBe(true);
  expect(group.takes(new Somebody(4, 10))).toBe(false);
  expect(group.takes(new Somebody(3, 11))).toBe(false);
});

test("whoever leaves takes along what was sent and how far that was, and the others stay in one row with their connections", () => {
  const { group, members } = groupOf(4);
  const run = runOf(2);
  group.note(run, 1, 12);
  group.remove(members[1]!);
  expect([members[1]!.group, members[1]!.index, members[1]!.sent, members[1]!.chained]).toEqual([undefined, -1, 12, undefined]);
  group.note(runOf(1), 2, 13);
  expect([...members[1]!.session.unseen]).toEqual(run);
  expect(members[0]!.session.unseen.count).toBe(3);
  expect(connectionsOf(group, members)).toEqual([members[0], members[3], members[2]]);
  expect(group.readers.map(({ index }) => index)).toEqual([0, 1, 2]);
});

test("what no log has leaves the position where it is", () => {
  const { group } = groupOf(1);
  group.note(runOf(1), 1, 0);
  expect(group.sent).toBe(10);
  group.note(runOf(1), 2, 11);
  expect(group.sent).toBe(11);
});

test("whoever leaves while the group is being written to disturbs nobody: each is called once, and has in the window what it was sent", () => {
  const { group, members } = groupOf(5);
  const called: Connection[] = [];
  const run = runOf(1);
  group.note(run, 1, 11);
  const { connections, readers } = group;
  for (let i = 0; i < connections.length; i++) {
    called.push(connections[i]!);
    if (i === 1) { for (const gone of [0, 1, 3]) group.remove(members[gone]!); }
    expect(readers[i]!.connection).toBe(connections[i]);
  }
  expect(called).toEqual(members.map(({ connection }) => connection));
  for (const { session } of members) expect([...session.unseen]).toEqual(run);
  expect(members.map(({ sent }) => sent)).toEqual([11, 11, 10, 11, 10]);
  expect(new Set(connectionsOf(group, members))).toEqual(new Set([members[2], members[4]]));
});

test("whoever leaves between the note and the writing is still written to: it is in the window already", () => {
  const { group, members } = groupOf(3);
  for (const order of [1, 2]) {
    const here = members.slice(order - 1);
    group.note(runOf(1), order, 10 + order);
    const { connections } = group;
    group.remove(here[0]!);
    expect(new Set(connections)).toEqual(new Set(here.map(({ connection }) => connection)));
  }
  group.remove(members[2]!);
  expect(members.map(({ sent, session }) => [sent, session.unseen.count])).toEqual([[11, 1], [12, 2], [12, 2]]);
});

test("the lists are replaced once per note, however many leave", () => {
  const { group, members } = groupOf(5);
  group.remove(members[0]!);
  const lists = new Set([group.connections]);
  for (const order of [1, 2]) {
    group.note(runOf(1), order, 10 + order);
    for (const gone of [2 * order - 1, 2 * order]) {
      group.remove(members[gone]!);
      lists.add(group.connections);
    }
  }
  expect(lists.size).toBe(3);
});

test("the last one to leave ends the group's timer, the ones before do not", () => {
  const { group, members } = groupOf(2);
  let ended = 0;
  group.unwatch = () => void ended++;
  group.remove(members[0]!);
  expect(ended).toBe(0);
  group.remove(members[1]!);
  expect(ended).toBe(1);
});

test("before anybody has more than its window holds it is named as crowded, and those with room are not", () => {
  const { group, members } = groupOf(2);
  const [mute, quick] = members as [Somebody, Somebody];
  for (let order = 1, at = 11; order <= 2_000; order++, at++) {
    const crowded = group.crowded(1);
    expect(crowded.includes(quick)).toBe(false);
    for (const member of crowded) group.remove(member);
    group.note(runOf(1), order, at);
    expect(mute.session.unseen.count).toBeLessThanOrEqual(MAX_UNSEEN);
    quick.session.unseen.confirm(order, 0, () => {});
  }
  expect(mute.group).toBeUndefined();
  expect(mute.session.unseen.count).toBeGreaterThan(MAX_UNSEEN - 2 * CHAIN_ROOM);
  expect(quick.group).toBe(group);
});

test("windows are looked at once in so many frames, not with each", () => {
  const { group, members } = groupOf(1);
  group.note(runOf(MAX_UNSEEN), 1, 11);
  expect(group.crowded(CHAIN_ROOM)).toEqual([]);
  expect(group.crowded(1)).toEqual(members);
  expect(group.crowded(CHAIN_ROOM - 1)).toEqual([]);
  expect(group.crowded(1)).toEqual(members);
});

test("what all windows have read hangs on nobody any more: not on the group, and not on the readers", () => {
  const { group, members } = groupOf(2);
  group.note(runOf(2), 1, 12);
  group.note(runOf(1), 2, 13);
  for (const { session } of members) expect(session.unseen.count).toBe(3);
  const late = new Somebody(3, 13);
  group.add(late);
  for (const { chained } of [...members, late]) expect(chained).toEqual({ next: undefined });
});
