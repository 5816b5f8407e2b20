import { expect, onTestFinished, test } from "vitest";
import type { TargetDetails } from "../../mod.ts";
import { createEngine } from "../../mod.ts";
import { createStage, FakeProvider, type Stage } from "./stage.ts";

const all = {
  app: "org.example.app",
  environment: "sandbox",
  keyId: "k-1_A",
  locale: "fa-IR",
  timeZone: "Asia/Tehran",
  reports: ["shown", "opened"],
} as const;

/** Registers a phone's target with these details. */
async function register(stage: Stage, details: unknown) {
  const phone = await stage.device("sara");
  const answer = await phone.request({ type: "target", ref: 0, provider: "fake", token: "phone", details });
  return { answer, phone };
}

/** What the provider gets of a target that was registered with these details. */
async function given(details: unknown) {
  const stage = await createStage();
  onTestFinished(() => stage.engine.close());
  const { answer, phone } = await register(stage, details);
  expect(answer).toMatchObject({ type: "ok" });
  phone.leave();
  await stage.clock.settle();
  await stage.engine.publish({ to: "sara", content: "hi" });
  await stage.clock.settle();
  return stage.provider.sent.map(({ target }) => target);
}

test("a provider gets what the client said of its target, and nothing else", async () => {
  expect(await given(all)).toStrictEqual([{ token: "phone", ...all }]);
});

test.each([null, {}, { app: null, locale: null, reports: null }])("of %j a provider gets the token alone", async (details) => {
  expect(await given(details)).toStrictEqual([{ token: "phone" }]);
});

test.each<[unknown, TargetDetails]>([
  [{ locale: "FA-ir" }, { locale: "fa-IR" }],
  [{ locale: "zh-hant-tw" }, { locale: "zh-Hant-TW" }],
  [{ timeZone: "+03:30" }, { timeZone: "+03:30" }],
  [{ timeZone: "America/Argentina/Buenos_Aires" }, { timeZone: "America/Argentina/Buenos_Aires" }],
  [{ timeZone: "Etc/GMT-3" }, { timeZone: "Etc/GMT-3" }],
  [{ reports: ["opened", "shown"] }, { reports: ["shown", "opened"] }],
  [{ reports: ["opened", "opened"] }, { reports: ["opened"] }],
  [{ reports: [] }, { reports: [] }],
  [{ app: "1:1234:android:a_b.c-d" }, { app: "1:1234:android:a_b.c-d" }],
  [{ app: "a".repeat(128), keyId: "k".repeat(128) }, { app: "a".repeat(128), keyId: "k".repeat(128) }],
])("%j is taken as %j", async (details, want) => {
  expect(await given(details)).toStrictEqual([{ token: "phone", ...want }]);
});

test.each<[field: string, details: unknown]>([
  ["details", []],
  ["details", "fa"],
  ["details", 7],
  ["details", new Date(0)],
  ["a field", { color: "red" }],
  ["a field", { ...all, token: "another" }],
  ["app", { app: "" }],
  ["app", { app: "a".repeat(129) }],
  ["app", { app: "a b" }],
  ["app", { app: ["org.example.app"] }],
  ["environment", { environment: "staging" }],
  ["environment", { environment: true }],
  ["keyId", { keyId: "k".repeat(129) }],
  ["keyId", { keyId: "a/b" }],
  ["locale", { locale: "fa_IR" }],
  ["locale", { locale: "" }],
  ["locale", { locale: ["fa"] }],
  ["locale", { locale: "en-x-abcdefgh-abcdefgh-abcdefgh-abcde" }],
  ["timeZone", { timeZone: "" }],
  ["timeZone", { timeZone: "Asia Tehran" }],
  ["timeZone", { timeZone: "Z".repeat(65) }],
  ["reports", { reports: "shown" }],
  ["reports", { reports: ["shown", "sold"] }],
  ["reports", { reports: ["shown", "opened", "shown"] }],
])("%s is what is wrong with %j: the connection stays, and nothing is registered", async (field, details) => {
  const stage = await createStage();
  onTestFinished(() => stage.engine.close());
  const { answer, phone } = await register(stage, details);
  expect(answer).toMatchObject({ type: "error", code: "bad-message", retryable: false });
  expect(answer).toMatchObject({ hint: expect.stringMatching(`^${field} of a push target: .`) });
  expect(phone.closedWith).toBeUndefined();
  expect((await stage.engine.sessions("sara"))[0]?.targets).toEqual([]);
});

test("who registers again with other details has these", async () => {
  const { clock, device, engine, provider } = await createStage();
  onTestFinished(() => engine.close());
  const phone = await device("sara");
  for (const details of [{ locale: "de", timeZone: "Europe/Berlin" }, { locale: "fa" }]) {
    await phone.request({ type: "target", ref: 0, provider: "fake", token: "phone", details });
  }
  phone.leave();
  await clock.settle();
  await engine.publish({ to: "sara", content: "hi" });
  await clock.settle();
  expect(provider.sent.map(({ target }) => target)).toStrictEqual([{ token: "phone", locale: "fa" }]);
});

test("a provider that names its apps gets targets of these only", async () => {
  const provider = Object.assign(new FakeProvider(), { apps: ["org.example.app", "org.example.beta"] });
  const stage = await createStage({ push: [provider] });
  onTestFinished(() => stage.engine.close());
  for (const details of [null, {}, { app: "org.example" }]) {
    expect((await register(stage, details)).answer).toMatchObject({ type: "error", code: "no-app", retryable: false });
  }
  expect((await stage.engine.sessions("sara"))[0]?.targets).toEqual([]);
  expect((await register(stage, { app: "org.example.beta" })).answer).toMatchObject({ type: "ok" });
});

test("a provider finds fault with the target as a whole", async () => {
  const provider = Object.assign(new FakeProvider(), {
    targetFault: ({ environment }: TargetDetails) => environment === undefined ? "no environment" : undefined,
  });
  const stage = await createStage({ push: [provider] });
  onTestFinished(() => stage.engine.close());
  expect((await register(stage, null)).answer).toMatchObject({
    code: "bad-message",
    hint: "not a target of fake: no environment",
  });
  expect((await register(stage, { environment: "production" })).answer).toMatchObject({ type: "ok" });
});

test.each([[[]], [["a b"]], [[""]], [["ok", 5]]])("apps that are %j are refused when the engine is made", async (apps) => {
  const provider = Object.assign(new FakeProvider(), { apps: apps as string[] });
  await expect(createEngine({ insecure: true, push: [provider] })).rejects.toMatchObject({ code: "bad-config" });
});
