import { expect } from "vitest";
import { eventually, type Tab } from "./tab.ts";
import { type TabStage, test } from "./tab_stage.ts";

test("who logged out offline and left is signed out when the next user comes, whoever that is", async ({ stage }) => {
  await leaveOffline(stage, async (tab) => {
    await stage.shut();
    await tab.until("waiting");
  }, () => stage.reopen());
  const omid = await stage.openTab("omid", { token: "omid" });
  await omid.until("connected");
  expect(await stage.engine.sessions("sara")).toEqual([]);
  expect(await stage.engine.sessions("omid")).toHaveLength(1);
  await omid.page.reload();
  await stage.start(omid, { token: "omid" });
  await omid.until("connected");
  expect(await stage.engine.sessions("omid")).toHaveLength(1);
});

test("who logged out without a network, and comes back, has no push target any more", async ({ stage, chromium }) => {
  await leaveOffline(stage, async (tab) => {
    await chromium.context.setOffline(true);
    // What the network's end does to an open socket is the browser's affair: cut it.
    await stage.shut();
    await tab.until("waiting");
  }, async () => {
    await chromium.context.setOffline(false);
    await stage.reopen();
  });
  const sara = await stage.openTab("sara again", { token: "sara" });
  await sara.until("connected");
  const after = await stage.engine.sessions("sara");
  expect(after).toHaveLength(1);
  expect(after[0]!.targets).toEqual([]);
});

/** Signed in with a push target; then offline, logged out, and the page left. */
async function leaveOffline(
  stage: TabStage,
  goOffline: (tab: Tab) => Promise<void>,
  comeBack: () => Promise<void>,
): Promise<void> {
  const sara = await stage.openTab("sara", { token: "sara" });
  await sara.until("connected");
  expect(await sara.ask("registerPush", "where to push")).toBe("ok");
  const [session] = await stage.engine.sessions("sara");
  expect(session!.targets).toHaveLength(1);
  await goOffline(sara);
  await sara.ask("logout");
  await sara.page.goto("about:blank");
  await comeBack();
  expect(await stage.engine.sessions("sara")).toHaveLength(1);
}

const junk = [null, 7, -1, 1.5, "x", "a/b/c", [], [[]], {}, true];

/** Values that are not what a client has stored: nonsense, and its own with a fault in them. */
function damaged(value: string): string[] {
  const whole = JSON.parse(value) as unknown[];
  const faulty = junk.flatMap((fault) => whole.map((_, index) => JSON.stringify(whole.with(index, fault))));
  const rows = junk.flatMap((fault) => [[[fault]], [["sara/default", 1, fault]], [[fault, 1, 1]]]);
  const faultyRows = rows.map((rows) => JSON.stringify(whole.with(-1, rows)));
  const cut = [1, 5, value.length - 1].map((length) => value.slice(0, length));
  return ["", "null", "{", "{}", "[]", "7", '"x"', "\u0000/\ud800", "x".repeat(100_000), ...cut, ...faulty, ...faultyRows];
}

test("damaged and foreign values in the storage change nothing: tabs connect and get each message once", async ({ stage }) => {
  const tab = await stage.openTab("tab", { token: "sara" });
  await tab.until("connected");
  await stage.engine.publish({ to: "sara", content: "first" });
  await tab.hears("first");
  // Its sign-out is kept too.
  await stage.shut();
  await tab.until("waiting");
  await tab.ask("logout");
  await tab.page.goto(stage.addressOf("tab"));
  await stage.reopen();
  const kept = await tab.frame.evaluate(() => ({ ...localStorage }));
  expect(Object.keys(kept)).toHaveLength(2);
  const values = Object.values(kept).flatMap(damaged);
  // A part of them each time: all of them take a minute.
  for (const value of values.filter(() => Math.random() < 40 / values.length)) {
    const problem = `with ${JSON.stringify(value.slice(0, 200))} as each value`;
    await tab.page.goto(stage.addressOf("tab"));
    await tab.frame.evaluate(({ keys, value }) => {
      for (const key of keys) localStorage.setItem(key, value);
    }, { keys: Object.keys(kept), value });
    await stage.start(tab, { token: "sara" });
    await eventually(async () => expect(await tab.ask("status"), problem).toEqual({ state: "connected", userId: "sara" }));
    await stage.engine.publish({ to: "sara", content: problem });
    await eventually(async () => expect(await tab.ask("got"), problem).toContain(problem));
    const got = await tab.ask("got");
    expect(new Set(got).size, problem).toBe(got.length);
    expect(await tab.ask("publish", "sara", `from ${problem}`), problem).toBe("ok");
  }
});

test("what a newer client has stored is left alone, and the page is connected all the same", async ({ stage }) => {
  const tab = await stage.openTab("tab", { token: "sara" });
  await tab.until("connected");
  await stage.engine.publish({ to: "sara", content: "first" });
  await tab.hears("first");
  await tab.page.goto(stage.addressOf("tab"));
  const newer = await tab.frame.evaluate(() => {
    for (const [key, value] of Object.entries(localStorage)) localStorage.setItem(key, value.replace(/^\[\d+/, "[999"));
    return { ...localStorage };
  });
  expect(Object.values(newer)).toEqual([expect.stringMatching(/^\[999,/)]);
  await stage.start(tab, { token: "sara" });
  await tab.until("connected");
  await stage.engine.publish({ to: "sara", content: "second" });
  await tab.hears("second");
  await tab.page.goto(stage.addressOf("tab"));
  expect(await tab.frame.evaluate(() => ({ ...localStorage }))).toEqual(newer);
  expect(await stage.engine.sessions("sara")).toHaveLength(2);
});

test("a full storage, and one that is cleared while tabs are open, costs nobody the connection", async ({ stage }) => {
  await stage.shut();
  const first = await stage.openTab("first", { token: "sara" });
  await first.frame.evaluate(() => {
    for (let size = 4 * 1024 * 1024, n = 0; size >= 1;) {
      try {
        localStorage.setItem(`other ${n++}`, "x".repeat(size));
      } catch {
        size = Math.floor(size / 2);
      }
    }
  });
  await first.page.reload();
  await stage.reopen();
  await stage.start(first, { token: "sara" });
  await first.until("connected");
  const second = await stage.openTab("second", { token: "sara" });
  await second.until("connected");
  await stage.engine.publish({ to: "sara", content: "full" });
  for (const tab of [first, second]) await tab.hears("full");

  await first.frame.evaluate(() => localStorage.clear());
  await stage.engine.publish({ to: "sara", content: "cleared" });
  for (const tab of [first, second]) await tab.hears("cleared");
  await first.page.close();
  await stage.engine.publish({ to: "sara", content: "the other leads" });
  await second.hears("the other leads");
  expect(await second.ask("got")).toEqual(["full", "cleared", "the other leads"]);
});
