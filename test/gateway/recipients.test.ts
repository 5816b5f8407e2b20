import { describe, expect, test } from "vitest";
import type { EngineOptions, MessageOptions, OutgoingMessage, Storage } from "../../mod.ts";
import { encodePayload } from "../../src/protocol/codec.ts";
import { createLives, PLACES } from "../engine/lives.ts";
import { createStage, type Device, surviving } from "../engine/stage.ts";

/** The answer to a publish: "ok", or the error's code and what else it says. */
async function send(device: Device, topic: string, id: string, options: MessageOptions | null = null): Promise<unknown> {
  const answer = await device.request({ type: "publish", ref: 0, topic, id, options, payload: encodePayload("hi", undefined) });
  if (answer.type === "ok") return "ok";
  const { ref: _, type: __, ...error } = answer as Extract<typeof answer, { type: "error" }>;
  return error;
}

const refused = expect.objectContaining({ code: "no-recipient", retryable: false });

describe.each(PLACES)("on %s a client's publish", (place) => {
  test("to a private channel is taken while its owner is subscribed to it, connected, away, and after a restart", async () => {
    const lives = await createLives({}, place);
    const checks: unknown[] = [];
    const reza = async (id: string): Promise<void> => {
      const device = await lives.device("reza");
      checks.push(await send(device, "sara/notes", id));
      expect(await send(device, "sara/default", `${id} d`)).toBe("ok");
    };
    const phone = await lives.sara("phone");
    await reza("connected, not subscribed");
    await lives.engine.subscribe("sara", { to: "sara", channel: "notes" });
    await reza("connected, subscribed");
    phone.leave();
    await lives.clock.settle();
    await reza("away, subscribed");
    await lives.restart();
    await reza("after a restart");
    await lives.engine.unsubscribe("sara", { to: "sara", channel: "notes" });
    await reza("away, not any more");
    await lives.sara("phone");
    await reza("connected, not any more");
    expect(checks).toEqual([refused, "ok", "ok", "ok", refused, refused]);
  });

  test("to nobody known is refused in the same words as one to a channel that is not subscribed to", async () => {
    const lives = await createLives({}, place);
    await lives.sara("phone");
    (await lives.device("omid")).leave();
    await lives.engine.subscribe("invited", { to: "*", channel: "room" });
    await lives.engine.publish({ to: "awaited", content: "welcome" });
    const reza = await lives.device("reza");
    const answers = [];
    for (
      const topic of [
        "sara/notes",
        "omid/notes",
        "nobody/notes",
        "nobody/default",
        "awaited/default",
        "invited/default",
        "reza/notes",
      ]
    ) {
      answers.push(await send(reza, topic, topic.replace("/", " ")));
    }
    expect(answers[0]).toEqual(refused);
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(reza.closedWith).toBeUndefined();
  });
});

test("a message that may not be sent is refused alike whoever it is for", async () => {
  const { device } = await createStage();
  await device("sara");
  const reza = await device("reza");
  for (const options of [{ urgency: "high" }, { silent: true }] as const) {
    const answers = [];
    for (const topic of ["sara/default", "sara/notes", "nobody/default"]) {
      answers.push(await send(reza, topic, `m${topic.length}`, options));
    }
    expect(answers[0]).toMatchObject({ code: "forbidden" });
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
  }
});

test("ephemeral messages need a recipient too", async () => {
  const { device } = await createStage();
  await device("sara");
  const reza = await device("reza");
  expect(await send(reza, "sara/notes", "1", { ephemeral: true })).toEqual(refused);
  expect(await send(reza, "sara/default", "2", { ephemeral: true })).toBe("ok");
});

test("after a sign-out everywhere a user still takes what comes", async () => {
  const { device, engine } = await createStage();
  await device("sara");
  await engine.subscribe("sara", { to: "sara", channel: "notes" });
  await engine.revoke("sara");
  const reza = await device("reza");
  expect([await send(reza, "sara/default", "1"), await send(reza, "sara/notes", "2")]).toEqual(["ok", "ok"]);
});

test("authorize hears what the default says, and decides otherwise", async () => {
  const heard: unknown[] = [];
  let verdict: boolean | "moved" = true;
  const options: Pick<EngineOptions, "authorize"> = {
    authorize: ({ allowed, message, topic }) => {
      heard.push([topic, allowed]);
      return verdict === "moved" ? { ...message as OutgoingMessage, channel: "default" } : verdict;
    },
  };
  const { device, engine } = await createStage(options);
  const phone = await device("sara");
  const reza = await device("reza");
  expect(await send(reza, "sara/notes", "1")).toBe("ok");
  expect(await send(reza, "nobody/default", "2")).toBe("ok");
  expect(await send(reza, "sara/default", "3")).toBe("ok");
  verdict = "moved";
  expect(await send(reza, "sara/notes", "4")).toBe("ok");
  verdict = false;
  const refusals = [await send(reza, "sara/notes", "5"), await send(reza, "nobody/default", "6")];
  expect(refusals).toEqual([refused, refused]);
  expect(refusals[0]).toEqual(refusals[1]);
  expect(await send(reza, "sara/default", "7")).toMatchObject({ code: "forbidden" });
  expect(heard.slice(0, 3)).toEqual([["sara/notes", false], ["nobody/default", false], ["sara/default", true]]);
  expect(phone.contents).toEqual(["hi", "hi"]);
  expect(engine.counters().accepted).toBe(4);
});

test("a server may publish to a channel that nobody reads yet, and is told why nobody gets it", async () => {
  const { clock, device, engine } = await createStage();
  const phone = await device("sara");
  const verdict = async (to: string, channel: string) => {
    const result = await engine.publish({ to, channel, content: "hi" });
    const early = (await engine.explain(result))?.verdict;
    await clock.settle();
    return [early, (await engine.explain(result))?.verdict];
  };
  expect(await verdict("sara", "notes")).toEqual(["not-subscribed", "not-subscribed"]);
  expect(await verdict("sara", "default")).toEqual(["routed", "routed"]);
  expect(await verdict("nobody", "default")).toEqual(["no-device", "no-device"]);
  expect(await verdict("nobody", "notes")).toEqual(["no-device", "no-device"]);
  await engine.subscribe("invited", { to: "*", channel: "room" });
  expect(await verdict("invited", "default")).toEqual(["no-device", "no-device"]);
  phone.leave();
  await clock.settle();
  expect(await verdict("sara", "notes")).toEqual(["not-subscribed", "not-subscribed"]);
  expect(await verdict("sara", "default")).toEqual(["routed", "routed"]);
});

test("a recipient who is here costs no read, another one costs one", async () => {
  let reads = 0;
  const inner = surviving();
  const storage: Storage = {
    async open(context) {
      const opened = await inner.open(context);
      const users = Object.create(opened.users) as typeof opened.users;
      users.get = (userId) => {
        reads++;
        return opened.users.get(userId);
      };
      for (
        const name of ["put", "remove", "pushableMembers", "holders", "unseenSince", "lease", "liveNodes", "orphans"] as const
      ) {
        users[name] = (opened.users[name] as () => never).bind(opened.users) as never;
      }
      return { ...opened, users };
    },
  };
  const { clock, device, engine } = await createStage({ storage });
  const phone = await device("sara");
  await engine.subscribe("sara", { to: "sara", channel: "notes" });
  const reza = await device("reza");
  const cost = async (topic: string, id: string, options: MessageOptions | null) => {
    const before = reads;
    await send(reza, topic, id, options);
    return reads - before;
  };
  // Live: what follows a logged message reads users as well.
  const live = { ephemeral: true };
  expect([await cost("sara/default", "1", live), await cost("sara/notes", "2", live)]).toEqual([0, 0]);
  expect(await cost("sara/others", "3", live)).toBe(1);
  phone.leave();
  await clock.settle();
  expect([await cost("sara/default", "4", live), await cost("nobody/default", "5", live)]).toEqual([1, 1]);
  expect(await cost("nobody/default", "6", { ...live, urgency: "high" })).toBe(0);
});
