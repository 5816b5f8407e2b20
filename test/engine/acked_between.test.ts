import { expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import { memory, type OpenStorage, type Storage } from "../../mod.ts";
import { createStage, seededRandom } from "./stage.ts";

const TOPIC = "sara/default";

/** A storage that outlives its engines, in which writes of users' records can be held. */
function heldPuts(): { storage: Storage; hold: () => void; waiting: (() => void)[] } {
  const waiting: (() => void)[] = [];
  let held = false;
  let opened: Promise<OpenStorage> | undefined;
  return {
    waiting,
    hold: () => void (held = true),
    storage: {
      async open(context) {
        const { users, ...rest } = await (opened ??= memory().open(context));
        const put: typeof users.put = async (...given) => {
          if (held) await new Promise<void>((resolve) => waiting.push(resolve));
          return await users.put(...given);
        };
        const holding = new Proxy(users, {
          get(target, name) {
            if (name === "put") return put;
            const value = Reflect.get(target, name, target) as unknown;
            return typeof value === "function" ? value.bind(target) : value;
          },
        });
        return { ...rest, users: holding, close: () => Promise.resolve() };
      },
    },
  };
}

test("what a person acks while the device is signed out spares the other devices, at whichever write it comes", async () => {
  const { storage, hold, waiting } = heldPuts();
  const { engine, clock, provider, device } = await createStage({ storage });
  (await device("sara", { deviceId: "laptop", token: "laptop" })).leave();
  await clock.settle();
  const phone = await device("sara", { deviceId: "phone", token: "phone", attended: true });
  hold();
  phone.send({ type: "logout", ref: 99 });
  await clock.settle();
  for (const content of ["first", "second"]) {
    // Acked before anything about the laptop is stored.
    await engine.publish({ to: "sara", content });
    await clock.settle();
    waiting.shift()!();
    await clock.settle();
  }
  while (waiting.length > 0) {
    waiting.shift()!();
    await clock.settle();
  }
  expect(phone.contents).toEqual(["first", "second"]);
  expect(phone.closedWith).toBe(4103);
  await clock.advance(300_000);
  expect(provider.tokens).toEqual([]);
});

for (const [name, comes] of [["comes back in the background", true], ["stays away", false]] as const) {
  test(`a push that a node owed as it died is not forgotten when the device ${name}`, async () => {
    const { storage } = heldPuts();
    const clock = createManualClock();
    const first = await createStage({ storage, clock });
    const phone = await first.device("sara", { token: "phone" });
    await first.engine.publish({ to: "sara", content: "hi", id: "hi" });
    await clock.settle();
    const { cursors } = phone;
    await first.engine.close();
    // As a node leaves it that died after the ack from the background was stored, and before the push was.
    const { users } = await storage.open({ clock, random: seededRandom(1), logger: console });
    const record = (await users.get("sara"))!;
    const progress = Object.fromEntries(
      Object.entries(record.positions.progress).map(([deviceId, own]) => {
        return [deviceId, { ...own, [TOPIC]: { ...own[TOPIC]!, acked: 1, shown: 0, decided: 0 } }];
      }),
    );
    await users.put({ ...record, positions: { ...record.positions, progress } }, "positions");

    const second = await createStage({ storage, clock });
    // Each write takes what this node knows along.
    await second.device("sara", { deviceId: "laptop", visible: false });
    if (comes) await second.device("sara", { visible: false, cursors });
    await clock.advance(300_000);
    expect(second.provider.tokens).toEqual(["phone"]);
  });
}
