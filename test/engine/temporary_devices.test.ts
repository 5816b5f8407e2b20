import { describe, expect, test } from "vitest";
import { memory, PeykError, type UserRecord } from "../../mod.ts";
import { FORGET_TEMPORARY_AFTER_MS as HOUR_MS } from "../../src/delivery/temporary.ts";
import { createLives, type Lives, PLACES } from "./lives.ts";
import { createStage, type Device, seededRandom, surviving } from "./stage.ts";

const target = (token: string | null) => ({ type: "target", ref: 0, provider: "fake", token, details: null }) as const;

/** A device whose deviceId is kept nowhere. */
const tab = (lives: Lives, deviceId: string, user = "sara"): Promise<Device> => {
  return lives.device(user, { deviceId, temporary: true });
};

/** Sara's devices as they are in the storage. */
async function stored({ open }: ReturnType<typeof surviving>, { clock }: Lives): Promise<UserRecord["sessions"]> {
  const { users } = await open({ clock, logger: { info() {}, warn() {}, error() {} }, random: seededRandom(1) });
  return (await users.get("sara"))?.sessions ?? [];
}

const states = async ({ engine }: Lives) =>
  (await engine.sessions("sara")).map(({ state, temporary }) => `${state} ${temporary}`);

describe.each(PLACES)("a temporary device (%s)", (place) => {
  test("gets what any device gets, and is forgotten an hour after it left", async () => {
    const lives = await createLives({ random: seededRandom(3) }, place);
    const one = await tab(lives, "tab");
    await lives.say("one");
    expect(one.contents).toEqual(["one"]);
    expect(await states(lives)).toEqual(["connected.live true"]);
    one.leave();
    await lives.clock.advance(HOUR_MS - 2_000);
    expect(await states(lives)).toEqual(["disconnected.away true"]);
    await lives.clock.advance(4_000);
    expect(await states(lives)).toEqual([]);
  });

  test("that comes back in time is there still, and goes on where it was", async () => {
    const lives = await createLives({ random: seededRandom(3) }, place);
    (await tab(lives, "tab")).leave();
    await lives.clock.advance(HOUR_MS / 2);
    await lives.say("missed");
    const back = await tab(lives, "tab");
    expect(back.contents).toEqual(["missed"]);
    await lives.clock.advance(HOUR_MS * 3 / 4);
    expect(await states(lives)).toHaveLength(1);
    expect(back.closedWith).toBeUndefined();
  });

  test("is forgotten after a restart too: not at once where nobody looks, but nobody is told of it", async () => {
    const lives = await createLives({ random: seededRandom(3) }, place);
    await lives.sara("phone", { token: "phone" });
    (await tab(lives, "tab")).leave();
    await lives.clock.advance(10_000);
    await lives.restart();
    await lives.clock.advance(HOUR_MS - 20_000);
    expect(await states(lives)).toHaveLength(2);
    await lives.clock.advance(20_000);
    expect(await states(lives)).toEqual(["disconnected.away false"]);
  });

  test("that was connected when the node ended is away after the grace, and forgotten an hour after that", async () => {
    const lives = await createLives({ random: seededRandom(3) }, place);
    await tab(lives, "tab");
    await lives.restart();
    await lives.clock.advance(60_000);
    expect(await states(lives)).toEqual(["disconnected.away true"]);
    await lives.clock.advance(HOUR_MS);
    expect(await states(lives)).toEqual([]);
  });

  test("takes no target, and loses the one that it had", async () => {
    const lives = await createLives({ random: seededRandom(3) }, place);
    const phone = await lives.sara("phone", { token: "phone's" });
    phone.leave();
    await lives.clock.settle();
    await lives.say("waits", { urgency: "low" });
    const [before] = await lives.engine.sessions("sara");
    expect([before!.targets.length, await lives.waiting()]).toEqual([1, 1]);
    // It confirms nothing: what waited is not dropped for having been shown.
    const temporary = await lives.sara("phone", { temporary: true, habit: "mute" });
    expect((await lives.engine.sessions("sara"))[0]).toMatchObject({ targets: [], temporary: true });
    expect(await lives.waiting()).toBe(0);
    expect(await temporary.request(target("another"))).toMatchObject({ type: "error", code: "unsupported", retryable: false });
    expect(await temporary.request(target(null))).toMatchObject({ type: "ok" });
    temporary.leave();
    await lives.clock.settle();
    await lives.say("for nobody");
    await lives.clock.advance(HOUR_MS * 2);
    expect(lives.pushed()).toEqual([]);
  });

  test("that attaches as one that is kept is kept, and takes a target", async () => {
    const lives = await createLives({ random: seededRandom(3) }, place);
    (await tab(lives, "phone")).leave();
    await lives.clock.settle();
    const phone = await lives.sara("phone", { token: "phone's" });
    phone.leave();
    await lives.clock.advance(HOUR_MS * 3);
    expect((await lives.engine.sessions("sara"))[0]).toMatchObject({ targets: [{ provider: "fake" }], temporary: false });
    await lives.say("one");
    await lives.clock.advance(10_000);
    expect(lives.pushed()).toEqual(["phone's one"]);
  });
});

test("the row of one that was forgotten in another life goes with the next sign-in of any device, and so it does after a failure", async () => {
  const storage = surviving();
  const lives = await createLives({ storage });
  (await tab(lives, "tab")).leave();
  await lives.clock.advance(10_000);
  await lives.restart();
  await lives.clock.advance(HOUR_MS);
  expect((await stored(storage, lives)).map(({ deviceId }) => deviceId)).toEqual(["tab"]);
  await lives.sara("phone");
  expect((await stored(storage, lives)).map(({ deviceId }) => deviceId)).toEqual(["phone"]);
});

test("the row goes by itself where the node lives on, with that of others that are forgotten", async () => {
  const storage = surviving();
  const lives = await createLives({ storage });
  await lives.sara("phone");
  (await tab(lives, "of another life")).leave();
  await lives.clock.settle();
  await lives.restart();
  (await tab(lives, "tab")).leave();
  await lives.clock.advance(HOUR_MS - 1);
  expect(await stored(storage, lives)).toHaveLength(3);
  await lives.clock.advance(1_001);
  expect((await stored(storage, lives)).map(({ deviceId }) => deviceId)).toEqual(["phone"]);
});

test("one that came back, or was signed out and begun anew, is forgotten an hour after it left last", async () => {
  for (const signedOut of [[], ["tab"]]) {
    const storage = surviving();
    const lives = await createLives({ storage });
    (await tab(lives, "tab")).leave();
    await lives.clock.advance(HOUR_MS / 2);
    const back = await lives.sara("tab", { temporary: true, signedOut });
    await lives.clock.advance(HOUR_MS / 4);
    back.leave();
    await lives.clock.advance(HOUR_MS - 1);
    expect(await stored(storage, lives)).toHaveLength(1);
    await lives.clock.advance(1_001);
    expect(await stored(storage, lives)).toEqual([]);
    const again = await lives.sara("tab", { temporary: true, signedOut });
    await lives.clock.advance(HOUR_MS * 2);
    expect([again.closedWith, (await stored(storage, lives)).length]).toEqual([undefined, 1]);
  }
});

test("one timer is enough for a thousand of them, and closing the engine leaves none", async () => {
  const lives = await createLives();
  await lives.device("bystander");
  const { timers } = lives.clock;
  for (let index = 0; index < 1_000; index++) (await tab(lives, `tab ${index}`, `user ${index}`)).leave();
  await lives.clock.settle();
  expect(lives.clock.timers - timers).toBeLessThanOrEqual(2);
  await lives.clock.advance(HOUR_MS + 1_001);
  for (let index = 0; index < 1_000; index++) expect(await lives.engine.sessions(`user ${index}`)).toEqual([]);
  (await tab(lives, "last")).leave();
  await lives.clock.settle();
  await lives.engine.close();
  expect(lives.clock.timers).toBe(0);
});

test("one that could not be removed is logged, and is removed later", async () => {
  let isAway = false;
  const logged: string[] = [];
  const { clock, device, engine } = await createStage({
    logger: { info() {}, warn: (message) => void logged.push(message), error() {} },
    storage: {
      async open(context) {
        const opened = await memory().open(context);
        const put = opened.users.put.bind(opened.users);
        opened.users.put = (...given) => isAway ? Promise.reject(new PeykError("unavailable", "not now")) : put(...given);
        return opened;
      },
    },
  });
  (await device("sara", { deviceId: "tab", temporary: true })).leave();
  await clock.settle();
  isAway = true;
  await clock.advance(HOUR_MS + 1_000);
  isAway = false;
  expect(logged.filter((message) => message.includes("temporary"))).toHaveLength(1);
  expect(await engine.sessions("sara")).toEqual([]);
  await device("sara", { deviceId: "phone" });
  expect(await engine.sessions("sara")).toHaveLength(1);
  await engine.close();
});

describe("how many there are", () => {
  test("temporary devices are not counted among the others, and make none of them go", async () => {
    const lives = await createLives({ limits: { devices: 2 } });
    (await lives.sara("phone", { token: "phone" })).leave();
    (await lives.sara("laptop")).leave();
    await lives.clock.settle();
    for (let index = 0; index < 20; index++) (await tab(lives, `tab ${index}`)).leave();
    await lives.clock.settle();
    expect(await states(lives)).toHaveLength(22);
    // Nor do the others make room among them.
    await lives.sara("third");
    const all = await lives.engine.sessions("sara");
    expect([all.length, all.filter(({ temporary }) => temporary).length]).toEqual([22, 20]);
  });

  test("a user has 200: the one that was away the longest goes first, and with 200 that are here one more is refused", async () => {
    const lives = await createLives({ limits: { devices: 1 } });
    const phone = await lives.sara("phone");
    const tabs: Device[] = [];
    for (let index = 0; index < 202; index++) {
      if (index === 1) tabs[0]!.leave();
      if (index === 2) tabs[1]!.leave();
      await lives.clock.advance(10);
      tabs.push(await tab(lives, `tab ${index}`));
    }
    expect((await lives.engine.sessions("sara")).filter(({ temporary }) => temporary)).toHaveLength(200);
    const refused = await tab(lives, "one more");
    expect(refused.of("error")).toMatchObject([{ code: "too-many" }]);
    expect([refused.closedWith, phone.closedWith, tabs.at(-1)!.closedWith]).toEqual([4006, undefined, undefined]);
  });

  test("of one that becomes temporary, or is not any more, there must be room too", async () => {
    const lives = await createLives({ limits: { devices: 1 } });
    await lives.sara("phone");
    await tab(lives, "tab");
    const refused = await lives.sara("tab");
    expect([refused.of("welcome"), refused.closedWith]).toEqual([[], 4006]);
    expect((await lives.sara("phone", { temporary: true })).closedWith).toBeUndefined();
    expect((await lives.sara("tab")).closedWith).toBeUndefined();
    expect((await states(lives)).sort()).toEqual(["connected.live false", "connected.live true"]);
  });
});

test("who signs in after the only device was forgotten goes on behind what that had shown, and does not begin anew", async () => {
  const lives = await createLives();
  const one = await tab(lives, "tab");
  await lives.say("read");
  expect(one.contents).toEqual(["read"]);
  one.leave();
  await lives.clock.advance(HOUR_MS + 1_000);
  await lives.say("unread");
  expect((await tab(lives, "another")).contents).toEqual(["unread"]);
});

test("explain does not count one that is forgotten, nor one in whose life nobody looked", async () => {
  for (const restarts of [false, true]) {
    const lives = await createLives();
    (await tab(lives, "tab")).leave();
    await lives.clock.settle();
    await lives.say("within the hour");
    expect(await lives.explain("within the hour")).toMatchObject({
      verdict: "routed",
      devices: [{ state: "disconnected.away" }],
    });
    if (restarts) await lives.restart();
    await lives.clock.advance(HOUR_MS + 1_000);
    await lives.say("later");
    expect(await lives.explain("later")).toMatchObject({ verdict: "no-device", devices: [] });
  }
});

test("what is away and temporary holds no push of the user's other devices back", async () => {
  const lives = await createLives();
  (await lives.sara("phone", { token: "phone" })).leave();
  (await tab(lives, "tab")).leave();
  await lives.clock.settle();
  await lives.say("one");
  await lives.clock.advance(1_000);
  expect(lives.pushed()).toEqual(["phone one"]);
});

test("another user on the same device: the former one's is away then, and forgotten an hour after that", async () => {
  const storage = surviving();
  const lives = await createLives({ storage });
  const sara = await tab(lives, "tab");
  const omid = await tab(lives, "tab", "omid");
  expect([sara.closedWith, omid.closedWith]).toEqual([4101, undefined]);
  expect(await states(lives)).toEqual(["disconnected.away true"]);
  await lives.clock.advance(HOUR_MS + 1_000);
  expect(await stored(storage, lives)).toEqual([]);
  expect(await lives.engine.sessions("omid")).toHaveLength(1);
});
