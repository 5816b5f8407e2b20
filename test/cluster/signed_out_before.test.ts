import { expect, test } from "vitest";
import { a, b, c, cluster, publish, states, useThreeNodes } from "./three_nodes.ts";

useThreeNodes();

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise<void>((resolve) => cluster.clock.defer(resolve));
}

const stored = async (userId: string) => (await (await cluster.storage.opened()).users.get(userId))?.sessions ?? [];

test("a device on another node that hello says was signed out is closed there, and pushed to by no node", async () => {
  const phone = await b.device("sara", { deviceId: "phone", token: "sara's" });
  const tablet = await c.device("sara", { deviceId: "tablet", token: "sara's other" });
  tablet.drop();
  await cluster.clock.advance(1_000);
  await publish(c, "waits for the grace to be over");
  const omid = await a.device("omid", { deviceId: "laptop", signedOut: ["phone", "tablet"] });
  expect([omid.of("welcome").length, phone.closedWith]).toEqual([1, 4103]);
  expect(await stored("sara")).toEqual([]);
  await publish(b, "for nobody");
  await cluster.clock.advance(60_000);
  expect([cluster.pushes, b.engine.counters().sessions, c.engine.counters().sessions]).toEqual([[], 0, 0]);
});

test("a hello for such a device that waits on the node which had it is not let in", async () => {
  for (let head = 0; head < 30; head++) {
    const user = `sara ${head}`;
    (await b.device(user, { deviceId: `phone ${head}`, token: "t" })).drop();
    const waits = b.connect(user, { deviceId: `phone ${head}` });
    await turns(head);
    const omid = await a.device("omid", { deviceId: `laptop ${head}`, signedOut: [`phone ${head}`] });
    await cluster.clock.advance(1_000);
    expect([omid.isOpen, waits.closedWith], `${head} turns ahead`).toEqual([true, 4103]);
    expect(await stored(user), `${head} turns ahead`).toEqual([]);
  }
});

test("its own device, held by another node, begins anew on this one", async () => {
  const before = await b.device("sara", { deviceId: "phone", token: "sara's" });
  const after = await a.device("sara", { deviceId: "phone", signedOut: ["phone"] });
  expect([before.closedWith, after.isOpen]).toEqual([4103, true]);
  expect(await stored("sara")).toMatchObject([{ deviceId: "phone", generation: 1, targets: [] }]);
  expect(await states(c, "sara")).toEqual(["connected.live"]);
});

test("a hello that was given up while it signed its device out does no harm to the one that says it again, on whichever node", async () => {
  for (const [former, first, second] of [[b, a, b], [b, a, a], [a, a, b], [c, a, b]] as const) {
    for (let head = 0; head < 30; head++) {
      const user = `sara ${head}`;
      const deviceId = `phone ${head} ${cluster.clock.elapsed()}`;
      (await former.device(user, { deviceId, token: "t" })).drop();
      await cluster.clock.advance(100);
      const lost = first.connect(user, { deviceId, signedOut: [deviceId] });
      await turns(head);
      lost.drop();
      const again = await second.device(user, { deviceId, signedOut: [deviceId] });
      await cluster.clock.advance(2_000);
      expect([again.of("welcome").length, again.closedWith], `${head} turns ahead`).toEqual([1, undefined]);
      expect((await stored(user)).filter((session) => session.deviceId === deviceId)).toMatchObject([{ targets: [] }]);
      again.leave();
      await cluster.clock.advance(1_000);
    }
  }
  await publish(a, "for nobody's target");
  expect(cluster.pushes).toEqual([]);
});

test("a node that can't be reached meanwhile ends it when it hears of it, and pushes nothing", async () => {
  const phone = await b.device("sara", { deviceId: "phone", token: "sara's" });
  b.cut();
  const omid = await a.device("omid", { deviceId: "laptop", signedOut: ["phone"] });
  expect(omid.closedWith ?? "open").toBe(4003);
  expect(await stored("sara")).toEqual([]);
  await b.heal();
  const again = await a.device("omid", { deviceId: "laptop", signedOut: ["phone"] });
  expect(again.isOpen).toBe(true);
  await publish(a, "for nobody");
  await cluster.clock.advance(60_000);
  expect([phone.closedWith, cluster.pushes]).toEqual([4103, []]);
});
