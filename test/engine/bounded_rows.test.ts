import { describe, expect, test } from "vitest";
import { createLives, type Lives } from "./lives.ts";
import { createStage } from "./stage.ts";

const NEWS = { to: "*", channel: "news" };

/** What was asked for: the message that a push is named after, and how many it stands for. */
function asked({ provider }: Lives): string[] {
  return provider.sent.map(({ notification: { id, waiting } }) => waiting === 1 ? id : `${id} for ${waiting}`);
}

/** Sara's phone, away, behind a provider that takes nothing until it is well. Nothing is paced. */
async function unreachable(): Promise<{ lives: Lives; heal(): Promise<void> }> {
  const lives = await createLives({ policy: { coalesceMs: 0 } });
  await lives.engine.subscribe("sara", NEWS);
  (await lives.sara("phone", { token: "phone" })).leave();
  await lives.clock.settle();
  lives.provider.verdict = () => ({ verdict: "retry", afterMs: 600_000, reason: "off" });
  return {
    lives,
    async heal() {
      lives.provider.verdict = () => ({ verdict: "sent" });
      lives.provider.sent.length = 0;
      await lives.clock.advance(1_300_000);
    },
  };
}

const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `${index + 1}`);

describe("what waits for a target in one topic", () => {
  test.each([["private", {}, 20], ["public", NEWS, 3]] as const)(
    "is bounded: of a %s one the first ones with their own words, then one push for the rest",
    async (_, to, most) => {
      const { lives, heal } = await unreachable();
      for (const id of names(40)) await lives.say(id, to);
      await heal();
      expect(asked(lives)).toEqual([...names(most), `40 for ${40 - most}`]);
    },
  );

  test("is counted at the last look: without what was dealt with, and what has expired", async () => {
    const { lives, heal } = await unreachable();
    for (const id of names(5)) await lives.say(id, NEWS);
    await lives.say("brief", { ...NEWS, ttl: 60 });
    for (const id of ["6", "7"]) await lives.say(id, NEWS);
    const laptop = await lives.sara("laptop", { habit: "mute", visible: false });
    await lives.clock.settle();
    const { envelope: _, ...fifth } = laptop.of("message")[4]!;
    const { topic, epoch, offset } = fifth;
    await laptop.request({ type: "mark", ref: 0, kind: "dismissed", topic, epoch, offset });
    await heal();
    expect(asked(lives)).toEqual(["1", "2", "3", "7 for 3"]);
  });

  test("leaves though the last one of those that it stands for has expired", async () => {
    const { lives, heal } = await unreachable();
    for (const id of names(5)) await lives.say(id, NEWS);
    await lives.say("brief", { ...NEWS, ttl: 60 });
    await heal();
    expect(asked(lives)).toEqual(["1", "2", "3", "5 for 2"]);
  });

  test("and was all dealt with before it leaves is dropped", async () => {
    const { lives, heal } = await unreachable();
    for (const id of names(6)) await lives.say(id, NEWS);
    const phone = await lives.sara("phone", { attended: true });
    await lives.clock.settle();
    phone.leave();
    await heal();
    expect(asked(lives)).toEqual([]);
  });

  test("and is silent, or has a collapse key, is never part of a push that stands for several", async () => {
    const { lives, heal } = await unreachable();
    for (const id of names(4)) await lives.say(id, NEWS);
    await lives.say("silent", { ...NEWS, silent: true });
    for (const id of ["score 1", "score 2"]) await lives.say(id, { ...NEWS, notification: { collapseKey: "score" } });
    for (const id of ["5", "6"]) await lives.say(id, NEWS);
    await heal();
    expect(asked(lives).toSorted()).toEqual(["1", "2", "3", "6 for 3", "score 2", "silent"]);
  });
});

test("explain() finds a private message inside a push that stands for several", async () => {
  const { lives, heal } = await unreachable();
  for (const id of names(23)) await lives.say(id);
  await heal();
  const note = "push-sent fake, in one push with 2 others, under the name of 23";
  for (const id of ["21", "22", "23"]) expect((await lives.told(id)).at(-1)).toBe(note);
});

test("of those of one decision too only the newest of a collapse key leaves, and silent ones each alone", async () => {
  const { lives, heal } = await unreachable();
  const key = { notification: { collapseKey: "key" } };
  const all = [...["k1", "k2"].map((id) => ({ id, ...key })), { id: "s1", silent: true }, { id: "s2", silent: true }, {
    id: "k3",
    ...key,
  }];
  await Promise.all(
    [...all, ...names(5).map((id) => ({ id }))].map((one) => lives.engine.publish({ ...NEWS, content: "x", ...one })),
  );
  await lives.clock.settle();
  await heal();
  expect(asked(lives).toSorted()).toEqual(["1", "2", "3", "5 for 2", "k3", "s1", "s2"]);
});

test("a newer message of a collapse key supersedes those that wait when it is decided", async () => {
  const { lives, heal } = await unreachable();
  for (const id of ["a", "b", "c"]) await lives.say(id, { notification: { collapseKey: "key" } });
  await lives.say("other", { notification: { collapseKey: "other" } });
  await heal();
  expect(asked(lives).toSorted()).toEqual(["c", "other"]);
  expect((await lives.told("b")).at(-1)).toBe("push-dropped a newer message of its collapse key is there");
});

test("a target that is not to be asked for a while rests: messages that come meanwhile ask nobody", async () => {
  const { lives, heal } = await unreachable();
  for (const id of names(20)) {
    await lives.say(id);
    await lives.clock.advance(1_000);
  }
  expect(asked(lives)).toEqual(["1"]);
  await heal();
  expect(asked(lives)).toEqual(names(20));
});

test("a slow request holds back the later messages of its target and topic, and those of no other", async () => {
  const lives = await createLives();
  for (const userId of ["sara", "reza"]) (await lives.device(userId, { token: userId })).leave();
  await lives.clock.settle();
  const answers: (() => void)[] = [];
  lives.provider.verdict = () => new Promise((resolve) => answers.push(() => resolve({ verdict: "sent" })));
  for (const id of ["1", "2", "3"]) await lives.say(id);
  await lives.say("r", { to: "reza" });
  expect(lives.pushed().toSorted()).toEqual(["reza r", "sara 1"]);
  while (answers.length > 0) {
    answers.shift()!();
    await lives.clock.settle();
  }
  expect(lives.pushed().filter((push) => push.startsWith("sara"))).toEqual(["sara 1", "sara 2", "sara 3"]);
});

test("a provider that never answers delays no other one's pushes", async () => {
  const sent: string[] = [];
  const push = [
    { name: "hangs", send: () => new Promise<never>(() => {}) },
    {
      name: "well",
      send({ token }: { token: string }, { id }: { id: string }) {
        sent.push(`${token} ${id}`);
        return Promise.resolve({ verdict: "sent" as const });
      },
    },
  ];
  const lives = await createStage({ push });
  const register = async (userId: string, provider: string): Promise<void> => {
    const device = await lives.device(userId);
    await device.request({ type: "target", ref: 0, provider, token: userId, details: null });
    device.leave();
  };
  await lives.engine.subscribe("reza", { to: "*", channel: "other" });
  await register("reza", "well");
  for (let index = 0; index < 1_200; index++) {
    await lives.engine.subscribe(`user ${index}`, NEWS);
    await register(`user ${index}`, "hangs");
  }
  await lives.clock.settle();
  await lives.engine.publish({ ...NEWS, content: "all" });
  await lives.engine.publish({ to: "reza", content: "hi", id: "hi" });
  await lives.clock.settle();
  expect(sent).toEqual(["reza hi"]);
});
