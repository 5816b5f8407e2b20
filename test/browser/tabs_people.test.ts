import { expect } from "vitest";
import { eventually, type Tab } from "./tab.ts";
import { test } from "./tab_stage.ts";

test.concurrent("two tabs with tokens of two users are each their own user", async ({ stage }) => {
  const sara = await stage.openTab("sara", { token: "sara" });
  await sara.until("connected");
  const omid = await stage.openTab("omid", { token: "omid" });
  expect(await sara.until("connected")).toEqual({ state: "connected", userId: "sara" });
  expect(await omid.until("connected")).toEqual({ state: "connected", userId: "omid" });
  const third = await stage.openTab("sara again", { token: "sara:2" });
  expect(await third.until("connected")).toEqual({ state: "connected", userId: "sara" });
  expect([sara.sockets(), omid.sockets(), third.sockets()]).toEqual([1, 1, 0]);

  expect(await omid.ask("publish", "sara", "from omid")).toBe("ok");
  await sara.hears("from omid");
  await third.hears("from omid");
  expect(await third.ask("publish", "omid", "from sara")).toBe("ok");
  await omid.hears("from sara");
  expect(stage.published()).toEqual([
    { from: "omid", to: "sara", content: "from omid" },
    { from: "sara", to: "omid", content: "from sara" },
  ]);
  expect(await Promise.all([sara, omid, third].map((tab) => tab.ask("got")))).toEqual([
    ["from omid"],
    ["from sara"],
    ["from omid"],
  ]);

  await omid.ask("logout");
  await omid.until("closed");
  expect(await stage.engine.sessions("omid")).toEqual([]);
  await stage.engine.publish({ to: "sara", content: "still here" });
  await sara.hears("still here");
  await third.hears("still here");
  expect(stage.connections()).toBe(1);
});

test.concurrent("three accounts of two users are three devices, though the app gives the same deviceId for all", async ({ stage }) => {
  const deviceId = "the-same-for-everybody-1";
  const accounts = [["home", "sara"], ["work", "sara"], ["guest", "omid"]] as const;
  const tabs: Tab[] = [];
  for (const [account, user] of accounts) {
    const tab = await stage.openTab(account, { token: user, account, deviceId });
    expect(await tab.until("connected")).toEqual({ state: "connected", userId: user });
    tabs.push(tab);
  }
  const again = await stage.openTab("guest again", { token: "omid:2", account: "guest", deviceId });
  await again.until("connected");
  for (const [index, [account, user]] of accounts.entries()) {
    expect(await tabs[index]!.ask("publish", user, `from ${account}`)).toBe("ok");
  }
  const all = [["from home", "from work"], ["from home", "from work"], ["from guest"], ["from guest"]];
  for (const [index, tab] of [...tabs, again].entries()) {
    for (const content of all[index]!) await tab.hears(content);
    expect(await tab.ask("got")).toEqual(all[index]);
  }
  expect([...tabs, again].map((tab) => tab.sockets())).toEqual([1, 1, 1, 0]);
  expect([await stage.engine.sessions("sara"), await stage.engine.sessions("omid")]).toMatchObject([[{}, {}], [{}]]);
  for (const { from, content } of stage.published()) expect(from).toBe(content === "from guest" ? "omid" : "sara");
});

test.concurrent("what was published offline by one user is never sent as the next one", async ({ stage }) => {
  const tab = await stage.openTab("tab", { token: "sara" });
  await tab.until("connected");
  await stage.shut();
  await tab.until("waiting");
  await tab.ask("begin", "sara", "as sara");
  await tab.ask("setNextToken", { value: "omid" });
  await stage.reopen();
  await eventually(async () => expect(await tab.ask("outcome", "as sara")).toBe("unauthorized"));
  expect(await tab.until("connected")).toEqual({ state: "connected", userId: "omid" });
  expect(await tab.ask("publish", "sara", "as omid")).toBe("ok");
  expect(stage.published()).toEqual([{ from: "omid", to: "sara", content: "as omid" }]);
});

test.concurrent("of two tabs that were offline as one user, the one that comes back as another says nothing for the first", async ({ stage }) => {
  const first = await stage.openTab("first", { token: "sara" });
  await first.until("connected");
  const second = await stage.openTab("second", { token: "sara" });
  await second.until("connected");
  await stage.shut();
  await second.until("waiting");
  await first.ask("begin", "sara", "first as sara");
  await second.ask("begin", "sara", "second as sara");
  await first.ask("setNextToken", { value: "omid" });
  await stage.reopen();
  await eventually(async () => expect(await first.ask("outcome", "first as sara")).toBe("unauthorized"));
  await eventually(async () => expect(await second.ask("outcome", "second as sara")).not.toBe("pending"));
  expect(["ok", "unauthorized"]).toContain(await second.ask("outcome", "second as sara"));
  await eventually(async () => {
    expect(await first.ask("status")).toEqual({ state: "connected", userId: "omid" });
    expect(await second.ask("status")).toEqual({ state: "connected", userId: "sara" });
  });
  for (const { from, content } of stage.published()) expect([from, content]).toEqual(["sara", "second as sara"]);
});

for (const [whose, next, outcome] of [["the same user's", "sara:2", "ok"], ["another user's", "omid", "unauthorized"]] as const) {
  test.concurrent(`what was published before the first connection, when the token is ${whose} by then: ${outcome}`, async ({ stage }) => {
    await stage.shut();
    const tab = await stage.openTab("tab", { token: "sara" });
    await tab.until("waiting");
    await tab.ask("begin", "sara", "hello");
    await tab.ask("setNextToken", { value: next });
    await stage.reopen();
    await eventually(async () => expect(await tab.ask("outcome", "hello")).toBe(outcome));
    await tab.until("connected");
    if (outcome === "ok") await tab.hears("hello");
    expect(stage.published()).toEqual(outcome === "ok" ? [{ from: "sara", to: "sara", content: "hello" }] : []);
  });
}

test.concurrent("when the leading tab's token is refused another tab's is tried, and the first stays as one of the same user", async ({ stage }) => {
  const first = await stage.openTab("first", { token: "sara:old" });
  await first.until("connected");
  const second = await stage.openTab("second", { token: "sara:new" });
  await second.until("connected");
  expect([first.sockets(), second.sockets()]).toEqual([1, 0]);
  await stage.shut();
  stage.refused.add("sara:old");
  await second.ask("begin", "sara", "meanwhile");
  await stage.reopen();
  for (const tab of [first, second]) {
    await tab.hears("meanwhile");
    expect(await tab.until("connected")).toEqual({ state: "connected", userId: "sara" });
    expect((await tab.ask("statuses")).map(({ state }) => state)).not.toContain("closed");
  }
  expect(await second.ask("outcome", "meanwhile")).toBe("ok");
  expect(await stage.engine.sessions("sara")).toHaveLength(1);
});

test.concurrent("a tab whose token is refused, and of which nobody knows whose it is, ends alone", async ({ stage }) => {
  stage.refused.add("nobody");
  await stage.shut();
  const first = await stage.openTab("first", { token: "nobody" });
  await first.until("waiting");
  const second = await stage.openTab("second", { token: "sara" });
  await stage.reopen();
  expect(await first.until("closed")).toMatchObject({ state: "closed", reason: "unauthorized" });
  expect(await second.until("connected")).toEqual({ state: "connected", userId: "sara" });
  const third = await stage.openTab("third", { token: "nobody" });
  expect(await third.until("closed")).toMatchObject({ state: "closed", reason: "unauthorized" });
  expect(await second.ask("publish", "sara", "still here")).toBe("ok");
  await second.hears("still here");
  expect(await second.ask("statuses")).not.toContainEqual(expect.objectContaining({ state: "closed" }));
});
