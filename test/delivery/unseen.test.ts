import { expect, test } from "vitest";
import { openEphemeral } from "../../src/delivery/opened_entry.ts";
import { CHAIN_ROOM, type ChainPlace, type Follower, MAX_UNSEEN, type Sending, Unseen } from "../../src/delivery/unseen.ts";
import { encodeEnvelope, encodePayload } from "../../src/protocol/codec.ts";
import { seededRandom } from "../engine/stage.ts";

const payload = encodePayload("hi", undefined);
const entry = openEphemeral(
  "*/news",
  encodeEnvelope({ id: "m", from: undefined, sentAt: 0, expiresAt: 0, options: undefined, payload }),
);
let sent = 0;

function runOf(length: number): Sending[] {
  return Array.from({ length }, () => ({ entry, at: sent++ }));
}

function seen(unseen: Unseen, total: number): { count: number | undefined; sendings: Sending[] } {
  const sendings: Sending[] = [];
  const count = unseen.confirm(total, 0, (run, begin, end) => sendings.push(...run.slice(begin, end)));
  return { count, sendings };
}

test("what was sent together is confirmed in any parts, each frame once and in order", () => {
  const unseen = new Unseen();
  const run = runOf(5);
  unseen.push(run);
  expect(seen(unseen, 2)).toEqual({ count: 2, sendings: run.slice(0, 2) });
  expect([...unseen]).toEqual(run.slice(2));
  expect(unseen.oldest).toBe(run[2]);
  expect(seen(unseen, 2)).toEqual({ count: 0, sendings: [] });
  expect(seen(unseen, 5)).toEqual({ count: 3, sendings: run.slice(2) });
  expect([unseen.count, unseen.oldest]).toEqual([0, undefined]);
});

test("a run goes to several connections, and each confirms it for itself", () => {
  const [one, other] = [new Unseen(), new Unseen()];
  const run = runOf(3);
  one.push(run);
  other.push(run);
  expect(seen(one, 3).sendings).toEqual(run);
  expect([...other]).toEqual(run);
});

test("a count that is lower than before, or more than was sent, changes nothing", () => {
  const unseen = new Unseen();
  unseen.push(runOf(4));
  seen(unseen, 3);
  expect(seen(unseen, 2)).toEqual({ count: undefined, sendings: [] });
  expect(seen(unseen, 5)).toEqual({ count: undefined, sendings: [] });
  expect(unseen.count).toBe(1);
});

test("whatever comes in whatever runs, the window is the same as a plain list's", () => {
  const random = seededRandom(3);
  const unseen = new Unseen();
  const list: Sending[] = [];
  let total = 0;
  for (let turn = 0; turn < 20_000; turn++) {
    if (random.fraction() < 0.5 && list.length < 900) {
      const run = runOf(1 + Math.floor(random.fraction() * (turn % 3 === 0 ? 16 : 2)));
      unseen.push(run);
      list.push(...run);
    } else {
      // In the second half something is always left, so the places are never filled anew from the first one.
      const count = Math.floor(random.fraction() * (turn < 10_000 ? list.length + 1 : list.length));
      total += count;
      const { sendings } = seen(unseen, total);
      const expected = list.splice(0, count);
      if (sendings.length !== count || sendings.some((sending, index) => sending !== expected[index])) {
        expect(sendings).toEqual(expected);
      }
    }
    if (unseen.count !== list.length || unseen.oldest !== list[0]) {
      expect([unseen.count, unseen.oldest]).toEqual([list.length, list[0]]);
    }
    if (turn % 100 === 0) expect([...unseen]).toEqual(list);
  }
});

/** What many are sent, as a group keeps it. The order is that of all chains together. */
class Chain {
  end: ChainPlace = { next: undefined };

  send(run: readonly Sending[], order: number): void {
    const end: ChainPlace = { next: undefined };
    this.end.next = { run, order, end };
    this.end = end;
  }

  /** A follower that begins here. */
  follow(unseen: Unseen): Follower {
    const follower: Follower = { chained: this.end };
    unseen.follow(follower);
    return follower;
  }
}

test("what came on a chain after a window began to follow it, and until it ceased to, is in the window", () => {
  const chain = new Chain();
  const unseen = new Unseen();
  const [before, first, second, after] = [runOf(1), runOf(2), runOf(1), runOf(1)];
  chain.send(before, 1);
  const follower = chain.follow(unseen);
  chain.send(first, 2);
  chain.send(second, 3);
  unseen.unfollow(follower);
  chain.send(after, 4);
  expect([...unseen]).toEqual([...first, ...second]);
  expect(follower.chained).toBeUndefined();
});

test("each way of looking at a window finds what the chain has brought", () => {
  const looks: [string, (unseen: Unseen) => unknown, (run: Sending[]) => unknown][] = [
    ["count", ({ count }) => count, () => 3],
    ["room", ({ room }) => room, () => MAX_UNSEEN - 3 - CHAIN_ROOM],
    ["oldest", ({ oldest }) => oldest, (run) => run[0]],
    ["progressAt", ({ progressAt }) => progressAt, (run) => run[0]!.at],
    ["all of it", (unseen) => [...unseen], (run) => run],
    ["confirming", (unseen) => seen(unseen, 2), (run) => ({ count: 2, sendings: run.slice(0, 2) })],
    ["confirming too much", (unseen) => seen(unseen, 4), () => ({ count: undefined, sendings: [] })],
  ];
  for (const [name, look, expected] of looks) {
    const chain = new Chain();
    const unseen = new Unseen();
    chain.follow(unseen);
    const run = runOf(3);
    chain.send(run, 1);
    expect(look(unseen), name).toEqual(expected(run));
  }
});

test("what is sent to one alone stands behind what its chains brought before, and before what they bring later", () => {
  const [one, other] = [new Chain(), new Chain()];
  const unseen = new Unseen();
  const [own, first, second, third, fourth] = [runOf(1), runOf(1), runOf(1), runOf(1), runOf(1)];
  one.follow(unseen);
  other.follow(unseen);
  other.send(first, 1);
  one.send(second, 2);
  unseen.push(own);
  one.send(third, 3);
  other.send(fourth, 4);
  expect([...unseen]).toEqual([...first, ...second, ...own, ...third, ...fourth]);
});

test("a chain that is followed from later on does not come before what others brought until then", () => {
  const [one, other] = [new Chain(), new Chain()];
  const unseen = new Unseen();
  const [first, second] = [runOf(1), runOf(1)];
  one.follow(unseen);
  one.send(first, 1);
  other.follow(unseen);
  other.send(second, 2);
  expect([...unseen]).toEqual([...first, ...second]);
});

test("ceasing to follow one chain leaves the others: their runs keep coming, in order", () => {
  const [one, other] = [new Chain(), new Chain()];
  const unseen = new Unseen();
  const follower = one.follow(unseen);
  other.follow(unseen);
  const [first, second, third] = [runOf(1), runOf(1), runOf(1)];
  other.send(first, 1);
  one.send(second, 2);
  unseen.unfollow(follower);
  one.send(runOf(1), 3);
  other.send(third, 4);
  expect([...unseen]).toEqual([...first, ...second, ...third]);
  expect(unseen.room).toBe(MAX_UNSEEN - 3 - CHAIN_ROOM);
});

test("room is kept free for each chain that is followed, and may be used up by what they bring", () => {
  const chain = new Chain();
  const unseen = new Unseen();
  expect(unseen.room).toBe(MAX_UNSEEN);
  const follower = chain.follow(unseen);
  expect(unseen.room).toBe(MAX_UNSEEN - CHAIN_ROOM);
  new Chain().follow(unseen);
  expect(unseen.room).toBe(MAX_UNSEEN - 2 * CHAIN_ROOM);
  chain.send(runOf(MAX_UNSEEN - 2 * CHAIN_ROOM + 1), 1);
  expect(unseen.room).toBe(-1);
  unseen.unfollow(follower);
  expect(unseen.room).toBe(CHAIN_ROOM - 1);
});

test("a client owes from when the first unconfirmed frame was sent, and anew from each progress, however late somebody looks", () => {
  const chain = new Chain();
  const unseen = new Unseen();
  chain.follow(unseen);
  const at = (ms: number): Sending[] => [{ entry, at: ms }];
  chain.send(at(100.7), 1);
  chain.send(at(200), 2);
  expect(unseen.progressAt).toBe(100);
  unseen.confirm(1, 350.9, () => {});
  expect(unseen.progressAt).toBe(350);
  unseen.confirm(1, 500, () => {});
  expect(unseen.progressAt).toBe(350);
  unseen.confirm(2, 600, () => {});
  chain.send(at(1_000), 3);
  chain.send(at(2_000), 4);
  expect(unseen.progressAt).toBe(1_000);
});

test("whatever comes on whatever chains, followed for a while or not, the window is the same as a plain list's", () => {
  const random = seededRandom(11);
  const below = (limit: number): number => Math.floor(random.fraction() * limit);
  const chains = Array.from({ length: 4 }, () => new Chain());
  const windows = Array.from({ length: 3 }, () => ({
    unseen: new Unseen(),
    list: [] as Sending[],
    total: 0,
    followers: new Map<Chain, Follower>(),
  }));
  let order = 0;
  for (let turn = 0; turn < 30_000; turn++) {
    const window = windows[below(windows.length)]!;
    const { followers, list, unseen } = window;
    const chain = chains[below(chains.length)]!;
    switch (below(8)) {
      case 0:
      case 1:
      case 2: {
        const run = runOf(1 + below(4));
        chain.send(run, ++order);
        for (const other of windows) if (other.followers.has(chain)) other.list.push(...run);
        break;
      }
      case 3: {
        const run = runOf(1 + below(4));
        unseen.push(run);
        list.push(...run);
        break;
      }
      case 4: {
        const follower = followers.get(chain);
        if (follower === undefined) followers.set(chain, chain.follow(unseen));
        else {
          unseen.unfollow(follower);
          followers.delete(chain);
        }
        break;
      }
      case 5: {
        // Mostly all of it, else the lists would only grow.
        const count = below(4) === 0 ? below(list.length + 1) : list.length;
        window.total += count;
        const { sendings } = seen(unseen, window.total);
        const expected = list.splice(0, count);
        if (sendings.length !== count || sendings.some((sending, index) => sending !== expected[index])) {
          expect(sendings).toEqual(expected);
        }
        break;
      }
      case 6:
        if (unseen.oldest !== list[0]) expect(unseen.oldest).toEqual(list[0]);
        break;
      default:
        expect(unseen.room).toBe(MAX_UNSEEN - list.length - followers.size * CHAIN_ROOM);
    }
  }
  for (const { list, unseen } of windows) expect([...unseen]).toEqual(list);
});
