import { expect, test } from "vitest";
import type { UserParts } from "../../mod.ts";
import { a, b, cluster, publish, useThreeNodes } from "./three_nodes.ts";

useThreeNodes();

/** Puts of users, how they went, and those of some parts that are held until they are let go. */
async function watchPuts(): Promise<{ refused: UserParts[]; made: UserParts[]; hold(parts: UserParts): () => void }> {
  const { users } = await cluster.storage.opened();
  const put = users.put.bind(users);
  const [refused, made]: UserParts[][] = [[], []] as const;
  let held: UserParts | undefined;
  let letGo = Promise.withResolvers<void>();
  users.put = async (record, parts, rows) => {
    if (parts === held) await letGo.promise;
    const versions = await put(record, parts, rows);
    (versions === undefined ? refused : made)!.push(parts);
    return versions;
  };
  return {
    ...{ refused: refused!, made: made! },
    hold(parts) {
      held = parts;
      return () => {
        held = undefined;
        letGo.resolve();
        letGo = Promise.withResolvers();
      };
    },
  };
}

test.each(["positions", "devices"] as const)(
  "what a device acks on one node and a sign-in on another are not in each other's way (%s last)",
  async (last) => {
    const laptop = await a.device("sara", { deviceId: "laptop", attended: true });
    (await b.device("sara", { deviceId: "phone" })).leave();
    await cluster.clock.advance(30_000);
    await publish(b, "before");
    await cluster.clock.advance(2_000);
    const { hold, made, refused } = await watchPuts();
    const letGo = hold(last);
    await publish(b, "one");
    const again = b.connect("sara", { deviceId: "phone", visible: false, habit: "mute" });
    await cluster.clock.advance(2_000);
    expect(made).toEqual([last === "positions" ? "devices" : "positions"]);
    letGo();
    await cluster.clock.advance(2_000);
    expect(again.of("welcome").length).toBe(1);
    expect(refused).toEqual([]);
    expect(made.toSorted()).toEqual(["devices", "positions"]);
    const { history, users } = await cluster.storage.opened();
    const { positions, sessions } = (await users.get("sara"))!;
    const { head } = await history!.read("sara/default", 0, 1);
    expect(positions.progress.laptop!["sara/default"]).toMatchObject({ acked: head.offset, shown: head.offset });
    expect(sessions.find(({ deviceId }) => deviceId === "phone")).toMatchObject({ generation: 2, node: expect.any(String) });
    expect(laptop.contents).toEqual(["before", "one"]);
  },
);

test.each([["another node took its session", "sara"], ["another user has the device", "mina"]] as const)(
  "a node that could not be told that %s finds out when the device acks",
  async (_, who) => {
    const former = await a.device("sara", { deviceId: "phone" });
    await publish(b, "before");
    await cluster.clock.advance(2_000);
    a.cut();
    await b.device(who, { deviceId: "phone", visible: false });
    expect(former.isOpen, "it was not told").toBe(true);
    await publish(b, "one");
    await cluster.clock.advance(2_500);
    expect(former.closedWith).toBe(4101);
    expect(a.engine.counters().sessions).toBe(0);
    await a.heal();
  },
);

test("what a person deals with on one node spares a device that can be pushed to only since its node wrote last", async () => {
  const laptop = await a.device("sara", { deviceId: "laptop", visible: false });
  await publish(a, "zero");
  await cluster.clock.advance(2_000);
  const phone = await b.device("sara", { deviceId: "phone" });
  await cluster.clock.advance(2_000);
  laptop.state(true, true);
  await cluster.clock.advance(2_000);
  const { users } = await cluster.storage.opened();
  const before = (await users.get("sara"))!.positions;
  expect(before.progress.laptop!["sara/default"]).toMatchObject({ acked: 1, shown: 1 });
  await phone.request({ type: "target", ref: 1, provider: "fake", token: "phone", details: null });
  const { positions } = (await users.get("sara"))!;
  expect({ ...positions, version: 0 }, "nothing in them changes").toEqual({ ...before, version: 0 });
  await publish(a, "one");
  await cluster.clock.advance(2_000);
  expect((await users.get("sara"))!.positions.handled["sara/default"]).toMatchObject({ ranges: [[0, 2]] });
});
