import { describe, expect, onTestFinished, test, vi } from "vitest";
import { PeykError } from "../../mod.ts";
import { a, b, c, cluster, states, useThreeNodes } from "./three_nodes.ts";

useThreeNodes();

/** The next record that is written is written at once, or when the test says so; whoever wrote it hears no answer. */
async function loseNextAnswer(when: "at once" | "late" = "at once"): Promise<() => Promise<void>> {
  const { users } = await cluster.storage.opened();
  const put = users.put.bind(users);
  let arrive: () => Promise<unknown> = () => Promise.reject(new Error("nothing was written"));
  const spy = vi.spyOn(users, "put").mockImplementationOnce(async (...given) => {
    if (when === "at once") await put(...given);
    else arrive = () => put(...given);
    throw new PeykError("unavailable", "no answer", { retryable: true });
  });
  onTestFinished(() => spy.mockRestore());
  return async () => void await arrive();
}

/** Sara's phone, which can be pushed to, is away. */
async function phoneAway(): Promise<void> {
  const phone = await b.device("sara", { deviceId: "phone", token: "t" });
  phone.leave();
  await cluster.clock.advance(1_000);
}

describe("an attachment that was written down without an answer", () => {
  test("is refused, and pushed to when the device does not come again", async () => {
    await phoneAway();
    await loseNextAnswer();
    const phone = await a.device("sara", { deviceId: "phone" });
    expect(phone.closedWith).toBe(4005);
    await cluster.clock.advance(1_000);
    expect(await states(c, "sara")).toEqual(["disconnected.recent"]);
    expect(a.engine.counters().sessions).toBe(1);
    await cluster.finish(c.engine.publish({ to: "sara", content: "hi" }));
    await cluster.clock.advance(60_000);
    expect(cluster.tokens).toEqual(["t"]);
    expect(a.engine.counters().sessions).toBe(0);
  });

  test("also when the storage can't be reached for a while after that", async () => {
    await phoneAway();
    await loseNextAnswer();
    await a.device("sara", { deviceId: "phone" });
    await cluster.setStorageAway(true);
    await cluster.clock.advance(10_000);
    await cluster.setStorageAway(false);
    await cluster.finish(c.engine.publish({ to: "sara", content: "hi" }));
    await cluster.clock.advance(60_000);
    expect(cluster.tokens).toEqual(["t"]);
  });

  test("also when the storage fails again while the node looks", async () => {
    await phoneAway();
    const { users } = await cluster.storage.opened();
    const put = users.put.bind(users);
    await loseNextAnswer();
    const get = vi.spyOn(users, "get");
    onTestFinished(() => get.mockRestore());
    vi.mocked(users.put).mockImplementationOnce((...given) => {
      get.mockRejectedValueOnce(new PeykError("unavailable", "no answer", { retryable: true }));
      return put(...given);
    });
    await a.device("sara", { deviceId: "phone" });
    await cluster.clock.advance(3_000);
    await cluster.finish(c.engine.publish({ to: "sara", content: "hi" }));
    await cluster.clock.advance(60_000);
    expect(cluster.tokens).toEqual(["t"]);
  });

  test("is looked after once", async () => {
    await phoneAway();
    await loseNextAnswer();
    await a.device("sara", { deviceId: "phone" });
    await cluster.clock.advance(1_000);
    const { put } = (await cluster.storage.opened()).users;
    vi.mocked(put).mockClear();
    await cluster.clock.advance(10_000);
    expect(put).not.toHaveBeenCalled();
    expect(cluster.storage.hub.told).toEqual([]);
  });

  test("can't be written any more once the node has looked", async () => {
    await phoneAway();
    const arrive = await loseNextAnswer("late");
    await a.device("sara", { deviceId: "phone" });
    await cluster.clock.advance(2_000);
    await arrive();
    await cluster.finish(c.engine.publish({ to: "sara", content: "hi" }));
    await cluster.clock.advance(60_000);
    expect(cluster.tokens).toEqual(["t"]);
  });

  test("does not disturb the device when it has come again, wherever", async () => {
    for (const node of [a, b]) {
      await loseNextAnswer();
      await a.device("sara", { deviceId: "phone" });
      const phone = await node.device("sara", { deviceId: "phone", token: "t" });
      await cluster.clock.advance(30_000);
      await cluster.finish(c.engine.publish({ to: "sara", content: "hi" }));
      await cluster.clock.advance(30_000);
      expect(phone.isOpen).toBe(true);
      expect(phone.contents.at(-1)).toBe("hi");
    }
    expect([a, b, c].map(({ engine }) => engine.counters().sessions)).toEqual([0, 1, 0]);
    expect(cluster.pushes).toEqual([]);
  });

  test("is pushed to though its former connection to the same node has not ended", async () => {
    await a.device("sara", { deviceId: "phone", token: "t", habit: "mute" });
    await loseNextAnswer();
    await a.device("sara", { deviceId: "phone" });
    await cluster.clock.advance(1_000);
    await cluster.finish(c.engine.publish({ to: "sara", content: "hi" }));
    await cluster.clock.advance(60_000);
    expect(cluster.tokens).toEqual(["t"]);
  });

  test("leaves nothing of somebody who never signed in, but an empty record", async () => {
    await loseNextAnswer("late");
    await a.device("omid");
    await cluster.clock.advance(2_000);
    const { users } = await cluster.storage.opened();
    expect(await users.get("omid")).toMatchObject({ sessions: [], subscriptions: {} });
  });
});

test("an attachment that was given up before it was written down leaves nothing to look after", async () => {
  await phoneAway();
  const { users } = await cluster.storage.opened();
  const get = users.get.bind(users);
  let arrive: (() => void) | undefined;
  const [read, written] = [vi.spyOn(users, "get"), vi.spyOn(users, "put")];
  onTestFinished(() => [read, written].forEach((spy) => spy.mockRestore()));
  read.mockImplementationOnce(async (userId) => {
    await new Promise<void>((resolve) => arrive = resolve);
    return await get(userId);
  });
  const phone = a.connect("sara", { deviceId: "phone" });
  await cluster.until(() => arrive !== undefined);
  phone.drop();
  arrive!();
  await cluster.clock.advance(5_000);
  expect(written).not.toHaveBeenCalled();
});

test("a session that was taken over from a dead node without an answer is decided for", async () => {
  const phone = await c.device("sara", { deviceId: "phone", token: "t" });
  expect(phone.isOpen).toBe(true);
  c.kill();
  await loseNextAnswer();
  await cluster.clock.advance(12_000);
  await cluster.finish(b.engine.publish({ to: "sara", content: "hi" }));
  await cluster.clock.advance(60_000);
  expect(cluster.tokens).toEqual(["t"]);
});
