import { expect, test } from "vitest";
import { createCacheBytes } from "../../src/delivery/cache_bytes.ts";
import { Hub } from "../../src/delivery/hub.ts";
import type { Outlet } from "../../src/delivery/outlet.ts";
import { Roster } from "../../src/delivery/roster.ts";
import { Session } from "../../src/delivery/session.ts";
import { type Start, type SubscriptionParts, Subscriptions } from "../../src/delivery/subscriptions.ts";
import type { Transport } from "../../src/ports/transport.ts";
import { encodeServerFrame } from "../../src/protocol/codec.ts";
import type { Topic } from "../../src/protocol/names.ts";

const TOPIC = "*/room";
const START = { epoch: 1, offset: 0, recovered: true };
const PROGRESS = { epoch: 1, from: 0, acked: 0, shown: 0, decided: 0 };

/** Subscriptions over a transport that answers when it is told to, with a session of sara's. */
function createSubscriptions() {
  const open = new Set<object>();
  const answers: (() => void)[] = [];
  const transport = {
    subscribe: () =>
      new Promise((resolve) =>
        answers.push(() => {
          const subscription = { head: { epoch: 1, offset: 0 }, close: () => open.delete(subscription) };
          open.add(subscription);
          resolve(subscription);
        })
      ),
  } as unknown as Transport;
  const hub = new Hub(transport, createCacheBytes());
  hub.connect({ arrive() {}, pass() {}, handOut() {}, missed() {} });
  const roster = new Roster();
  const session = new Session("sara", { deviceId: "phone", node: "here", generation: 1, targets: [], changedAt: 0 }, 1);
  roster.add(session);
  const parts = { hub, roster, actor: { separate() {} }, catchUp: { resume() {} } } as unknown as SubscriptionParts;
  const answer = (): void => answers.splice(0).forEach((go) => go());
  return { answer, hub, open, roster, session, subscriptions: new Subscriptions(parts) };
}

test("a session that is here reads the topic once its feed is open", async () => {
  const { answer, hub, open, session, subscriptions } = createSubscriptions();
  const begun = subscriptions.begin(session, TOPIC, START, PROGRESS, false);
  answer();
  await begun;
  expect([hub.find(TOPIC)?.readers.length, session.readers.length, open.size]).toEqual([1, 1, 1]);
});

test("a session that was taken over while its feed was being opened leaves neither a reader nor a feed behind", async () => {
  const { answer, hub, open, roster, session, subscriptions } = createSubscriptions();
  const begun = subscriptions.begin(session, TOPIC, START, PROGRESS, false);
  roster.remove(session);
  answer();
  await begun;
  expect([hub.find(TOPIC), session.readers, open.size]).toEqual([undefined, [], 0]);
});

test("nor does one that came again meanwhile: its newer attachment reads the topic by itself", async () => {
  const { answer, hub, open, roster, session, subscriptions } = createSubscriptions();
  const begun = subscriptions.begin(session, TOPIC, START, PROGRESS, false);
  roster.remove(session);
  roster.add(new Session("sara", { deviceId: "phone", node: "here", generation: 2, targets: [], changedAt: 0 }, 1));
  answer();
  await begun;
  expect([hub.find(TOPIC), session.readers, open.size]).toEqual([undefined, [], 0]);
});

test("of several who are told of the same beginning each gets the same frame, and of another one another", async () => {
  const { answer, session, subscriptions } = createSubscriptions();
  const told: Uint8Array[] = [];
  session.outlet = { write: (frame: Uint8Array) => void told.push(frame) } as unknown as Outlet;
  const starts: [Topic, Start][] = [
    [TOPIC, START],
    [TOPIC, START],
    ["*/other", START],
    ["*/other", { ...START, epoch: 2 }],
    ["*/other", { ...START, epoch: 2, offset: 1 }],
    ["*/other", { epoch: 2, offset: 1, recovered: false }],
    [TOPIC, START],
  ];
  for (const [topic, start] of starts) {
    const begun = subscriptions.begin(session, topic, start, PROGRESS, false);
    answer();
    await begun;
  }
  expect(told).toEqual(starts.map(([topic, start]) => encodeServerFrame({ type: "subscribed", topic, ...start })));
  expect(told[1]).toBe(told[0]);
});
