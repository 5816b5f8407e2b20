import { expect } from "vitest";
import { eventually, type Tab } from "./tab.ts";
import { type TabStage, test } from "./tab_stage.ts";

test("a publish whose answer came while the page was put aside settles when it is back", async ({ stage }) => {
  const tab = await stage.openTab("tab", { token: "sara" });
  await tab.until("connected");
  const { release } = holdAnswers(stage);
  await tab.ask("begin", "sara", "put aside");
  await eventually(() => expect(stage.held()).toBe(1));
  await putAside(tab, stage);
  release();
  await eventually(() => expect(stage.published()).toHaveLength(1));
  await comeBack(tab);
  await eventually(async () => expect(await tab.ask("outcome", "put aside")).toBe("ok"));
  await tab.hears("put aside");
  await stage.engine.publish({ to: "sara", content: "back" });
  await tab.hears("back");
  expect(await tab.ask("got")).toEqual(["put aside", "back"]);
  expect(stage.published()).toHaveLength(1);
  expect(stage.connections()).toBe(1);
});

test("a page that is put aside leaves the connection to another tab, and comes back as a follower", async ({ stage }) => {
  const first = await stage.openTab("first", { token: "sara" });
  await first.until("connected");
  const second = await stage.openTab("second", { token: "sara" });
  await second.until("connected");
  const { release } = holdAnswers(stage);
  await first.ask("begin", "sara", "from the first");
  await second.ask("begin", "sara", "from the second");
  await eventually(() => expect(stage.held()).toBeGreaterThan(0));
  await putAside(first, stage);
  release();
  await eventually(async () => expect(await second.ask("outcome", "from the second")).toBe("ok"));
  await stage.engine.publish({ to: "sara", content: "meanwhile" });
  await second.hears("meanwhile");
  await comeBack(first);
  await eventually(async () => expect(await first.ask("outcome", "from the first")).toBe("ok"));
  await stage.engine.publish({ to: "sara", content: "to both" });
  for (const tab of [first, second]) {
    await tab.hears("to both");
    const got = await tab.ask("got");
    expect(new Set(got).size).toBe(got.length);
  }
  expect([first.sockets(), second.sockets()]).toEqual([1, 1]);
  expect(stage.published()).toHaveLength(2);
  expect(await stage.engine.sessions("sara")).toHaveLength(1);
});

function holdAnswers(stage: TabStage): { release(): void } {
  let release = () => {};
  stage.hold = new Promise((resolve) => release = resolve);
  return {
    release() {
      stage.hold = undefined;
      release();
    },
  };
}

async function putAside({ page }: Tab, stage: TabStage): Promise<void> {
  await page.goto(stage.addressOf("elsewhere"));
}

async function comeBack({ page, ask }: Tab): Promise<void> {
  await page.goBack({ waitUntil: "commit" });
  await eventually(async () => expect(await ask("persisted")).toBe(true));
}
