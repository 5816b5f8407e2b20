import { expect, test } from "vitest";
import { FORGET_TEMPORARY_AFTER_MS as HOUR_MS } from "../../src/delivery/temporary.ts";
import { a, b, c, cluster, publish, states, useThreeNodes } from "./three_nodes.ts";

useThreeNodes();

const stored = async () => (await (await cluster.storage.opened()).users.get("sara"))?.sessions ?? [];
const tab = { deviceId: "tab", temporary: true };

test("a temporary device is forgotten by the node that it left; where that one is gone nobody names it, and the next sign-in removes it", async () => {
  (await b.device("sara", tab)).leave();
  (await c.device("sara", { deviceId: "another tab", temporary: true })).leave();
  await cluster.clock.advance(1_000);
  c.kill();
  await cluster.clock.advance(HOUR_MS + 2_000);
  expect((await stored()).map(({ deviceId }) => deviceId)).toEqual(["another tab"]);
  expect(await states(a, "sara")).toEqual([]);
  await a.device("sara", { deviceId: "phone" });
  expect((await stored()).map(({ deviceId }) => deviceId)).toEqual(["phone"]);
});

test("one that was connected to a node that died is forgotten an hour after it was given up", async () => {
  await b.device("sara", tab);
  b.kill();
  await cluster.clock.advance(60_000);
  expect(await states(a, "sara")).toEqual(["disconnected.away"]);
  await cluster.clock.advance(HOUR_MS);
  expect(await stored()).toEqual([]);
});

test("one that left a node and came back to another one is that one's: it is there still, or forgotten an hour after it left for good", async () => {
  (await b.device("sara", tab)).leave();
  await cluster.clock.advance(HOUR_MS / 2);
  const back = await a.device("sara", tab);
  await cluster.clock.advance(HOUR_MS);
  expect([back.isOpen, await states(c, "sara")]).toEqual([true, ["connected.live"]]);
  back.leave();
  await cluster.clock.advance(HOUR_MS - 2_000);
  expect(await stored()).toHaveLength(1);
  await cluster.clock.advance(5_000);
  expect(await stored()).toEqual([]);
});

test("a device that becomes temporary on another node is pushed to by none", async () => {
  const phone = await b.device("sara", { deviceId: "phone", token: "sara's" });
  phone.drop();
  await cluster.clock.advance(1_000);
  await publish(c, "waits for the grace to be over");
  const temporary = await a.device("sara", { deviceId: "phone", temporary: true });
  expect(temporary.contents).toEqual(["waits for the grace to be over"]);
  temporary.leave();
  await publish(b, "for nobody's target");
  await cluster.clock.advance(60_000);
  expect([cluster.pushes, await stored()]).toMatchObject([[], [{ temporary: true, targets: [] }]]);
});

test("one that signs in while another node forgets those that left is there, and none of the others", async () => {
  for (let head = 0; head < 12; head++) {
    for (const name of ["one", "two"]) (await b.device("sara", { deviceId: name, temporary: true })).leave();
    await cluster.clock.advance(HOUR_MS - 20 + 2 * head);
    await a.device("sara", { deviceId: "one", temporary: true });
    await cluster.clock.advance(3_000);
    expect((await stored()).map(({ deviceId, node }) => [deviceId, node === null]), `${head}`).toEqual([["one", false]]);
  }
}, 60_000);
