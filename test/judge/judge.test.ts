import { describe, expect, test } from "vitest";
import { Script } from "./script.ts";

/** A phone that is away since long, a laptop whose person is there; both have targets. */
function away(laptop: { visible?: boolean; idleMs?: number | null } = { idleMs: 0 }): Script {
  const script = new Script().at(0).opens("phone").at(10).closes("phone");
  return script.at(1_000).opens("laptop", laptop, false).at(50_000).state(
    "laptop",
    laptop.visible ?? true,
    laptop.idleMs ?? undefined,
  );
}

/** A lone phone. */
function alone(visible = true): Script {
  return new Script().at(0).opens("phone", { visible });
}

describe("MUST", () => {
  test("whoever is away is pushed within two seconds", () => {
    const script = alone().at(10).closes("phone").at(1_000).message("m");
    expect(script.findings()).toEqual(["MUST phone m"]);
    expect(script.at(2_900).push("phone", "m").findings()).toEqual([]);
  });

  test("later is too late", () => {
    expect(alone().at(10).closes("phone").at(1_000).message("m").at(3_100).push("phone", "m").findings()).toEqual([
      "MUST phone m",
    ]);
  });

  test("in the background at once, also when the handler acks", () => {
    expect(alone(false).at(1_000).message("m", ["phone"]).acks("phone", 1, 1).findings()).toEqual(["MUST phone m"]);
  });

  test("what a connection did not see after three seconds", () => {
    const script = alone().at(1_000).message("m", ["phone"]);
    expect(script.findings()).toEqual(["MUST phone m"]);
    expect(script.at(4_000).push("phone", "m").findings()).toEqual([]);
  });

  test("at once while something is overdue", () => {
    const script = alone().at(1_000).message("m", ["phone"]).at(4_000).push("phone", "m");
    expect(script.at(6_000).message("n", ["phone"]).at(9_500).push("phone", "n").findings()).toEqual(["MUST phone n"]);
  });

  test("at the end of the grace, not before", () => {
    const lost = (): Script => alone().at(1_000).closes("phone", "lost").at(2_000).message("m");
    expect(lost().at(16_000).push("phone", "m").findings()).toEqual([]);
    expect(lost().findings()).toEqual(["MUST phone m"]);
    expect(lost().at(10_000).push("phone", "m").findings()).toEqual(["NOT phone m"]);
  });

  test("a low urgency after a minute", () => {
    const low = (): Script => alone(false).at(1_000).message("m", ["phone"], { urgency: "low" });
    expect(low().findings()).toEqual(["MUST phone m"]);
    expect(low().at(61_000).push("phone", "m").findings()).toEqual([]);
  });

  test("while somebody is at another device, after five seconds", () => {
    const script = (): Script => away().at(51_000).message("m", ["laptop"]).acks("laptop", 1);
    expect(script().findings()).toEqual(["MUST phone m"]);
    expect(script().at(56_000).push("phone", "m").findings()).toEqual([]);
    expect(script().at(51_500).push("phone", "m").findings()).toEqual(["NOT phone m"]);
  });

  test("an ack by somebody who was last there 45 s ago holds it until two minutes have passed", () => {
    const script = (): Script => away({ idleMs: 0 }).at(95_000).message("m", ["laptop"]).acks("laptop", 1, 1);
    expect(script().findings()).toEqual(["MUST phone m"]);
    expect(script().at(170_000).push("phone", "m").findings()).toEqual([]);
    expect(script().at(100_000).push("phone", "m").findings()).toEqual(["NOT phone m"]);
  });

  test.each([
    ["a device that never had input", away({ idleMs: null }).at(51_000).message("m", ["laptop"]).acks("laptop", 1, 1)],
    ["a device whose last input is long ago", away({ idleMs: 150_000 }).at(51_000).message("m", ["laptop"]).acks("laptop", 1, 1)],
    ["a device in the background", away({ visible: false }).at(51_000).message("m", ["laptop"]).acks("laptop", 1, 1)],
    ["a handler that failed", away().at(51_000).message("m", ["laptop"]).fails("laptop", 1).acks("laptop", 1, 1)],
  ])("%s handles nothing", (_, script) => {
    expect(script.findings()).toEqual(["MUST phone m"]);
  });

  test("a device handles nothing of what came before its reading began", () => {
    const script = alone().at(10).closes("phone").at(1_000).message("m");
    script.opens("laptop", { idleMs: 0, from: { "sara/default": 1 } }, false).at(1_010).message("n", ["laptop"]).acks(
      "laptop",
      1,
      2,
      0,
    );
    expect(script.findings()).toEqual(["MUST phone m"]);
  });

  test("what was put off is asked again", () => {
    const script = alone().at(10).closes("phone").at(1_000).message("m").push("phone", "m", "retry", { afterMs: 5_000 });
    expect(script.findings()).toEqual(["END phone m"]);
    expect(script.at(6_000).push("phone", "m").findings()).toEqual([]);
  });

  test("an ack in the background does not end what was put off", () => {
    const script = alone().at(10).closes("phone").at(1_000).message("m").push("phone", "m", "retry", { afterMs: 5_000 });
    script.at(2_000).opens("phone", { visible: false }).hears("phone", "sara/default", 1).acks("phone", 1, 1).at(3_000).closes(
      "phone",
    );
    expect(script.findings()).toEqual(["END phone m"]);
  });

  test("a mark of another epoch, or beyond the head, marks nothing", () => {
    const script = away().at(51_000).message("m", ["laptop"]).marks("laptop", "read", 1, { epoch: 8 }).marks(
      "laptop",
      "read",
      50,
    );
    expect(script.findings()).toEqual(["MUST phone m"]);
  });
});

describe("NOT", () => {
  test("what was seen in time", () => {
    const script = alone().at(1_000).message("m", ["phone"]).acks("phone", 1);
    expect(script.findings()).toEqual([]);
    expect(script.at(4_000).push("phone", "m").findings()).toEqual(["NOT phone m"]);
  });

  test.each<[string, (script: Script) => Script]>([
    ["acked by somebody at another device", (script) => script.acks("laptop", 1, 1, 1_000)],
    ["read there", (script) => script.marks("laptop", "read", 1)],
    ["dismissed there", (script) => script.marks("laptop", "dismissed", 1)],
    ["read there, though the answer was no", (script) => script.marks("laptop", "read", 1, { error: false })],
    [
      "acked 45 s after an input, and touched again",
      (script) => script.acks("laptop", 1, 1, 45_000).at(53_000).state("laptop", true, 0),
    ],
    ["expired", (script) => script],
  ])("%s", (name, deal) => {
    const script = away().at(51_000).message("m", ["laptop"], name === "expired" ? { ttlMs: 3_000 } : {});
    deal(script);
    expect(script.findings()).toEqual([]);
    expect(script.at(56_000).push("phone", "m").findings()).toEqual(["NOT phone m"]);
  });

  test("a mark that may not have been stored leaves it open", () => {
    const script = away().at(51_000).message("m", ["laptop"]).acks("laptop", 1).marks("laptop", "read", 1, { error: true });
    expect(script.findings()).toEqual([]);
    expect(script.at(56_000).push("phone", "m").findings()).toEqual([]);
  });

  test("what was acked in the background and came to the front", () => {
    const script = alone(false).at(1_000).message("m", ["phone"], { urgency: "low" }).acks("phone", 1, 1).at(20_000).state(
      "phone",
      true,
    );
    expect(script.findings()).toEqual([]);
    expect(script.at(61_000).push("phone", "m").findings()).toEqual(["NOT phone m"]);
  });

  test("whoever returns within the grace and sees it", () => {
    const script = alone().at(1_000).closes("phone", "lost").at(2_000).message("m");
    script.at(9_000).opens("phone").hears("phone", "sara/default", 1).acks("phone", 1);
    expect(script.findings()).toEqual([]);
    expect(script.at(16_000).push("phone", "m").findings()).toEqual(["NOT phone m"]);
  });

  test("one's own message in a public topic, wherever it was sent from", () => {
    const script = away().subscribed().at(51_000).message("m", ["laptop"], { topic: "*/news", from: "sara" }).acks("laptop", 1);
    expect(script.at(56_000).push("phone", "m").findings()).toEqual(["NOT phone m"]);
  });

  test("one's own message to oneself: only the sending device", () => {
    const options = {
      type: "publish",
      ref: 0,
      topic: "sara/default",
      id: "m",
      options: null,
      payload: new Uint8Array(),
    } as const;
    const script = away({ idleMs: null }).at(50_500).asks("laptop", options);
    script.at(51_000).message("m", ["laptop"], { from: "sara" }).acks("laptop", 1);
    expect(script.findings()).toEqual(["MUST phone m"]);
  });

  test("what is for the app only, and what came before the target", () => {
    const script = new Script().at(0).opens("phone", {}, false).at(10).message("m", [], { inApp: true }).message("n");
    script.at(100).registers("phone").push("phone", "m").push("phone", "n");
    expect(script.findings()).toEqual(["NOT phone m", "NOT phone n"]);
  });

  test("a token that was replaced, while the message moves to the new one", () => {
    const script = alone(false).at(1_000).message("m", ["phone"], { urgency: "low" }).at(5_000).registers("phone", "new token");
    expect(script.findings()).toEqual(["MUST phone m"]);
    expect(script.at(61_000).push("phone", "m", "sent", { token: "new token" }).findings()).toEqual([]);
    const old = alone(false).at(1_000).message("m", ["phone"], { urgency: "low" }).at(5_000).registers("phone", "new token");
    expect(old.at(61_000).push("phone", "m").findings()).toEqual(["NOT phone m"]);
  });

  test("after a sign-out", () => {
    const script = alone(false).at(1_000).message("m", ["phone"], { urgency: "low" });
    script.at(5_000).asks("phone", { type: "logout", ref: 0 }).closes("phone", "node");
    expect(script.findings()).toEqual([]);
    expect(script.at(61_000).push("phone", "m").findings()).toEqual(["NOT phone m"]);
  });
});

describe("MAY: between a second before it is due and a second after, and where nodes and stores fail", () => {
  test("an ack just before it is due", () => {
    const script = (): Script => away().at(51_000).message("m", ["laptop"]).at(55_500).acks("laptop", 1, 1, 0);
    expect(script().findings()).toEqual([]);
    expect(script().at(56_000).push("phone", "m").findings()).toEqual([]);
  });

  test("acks of the last second before a node dies", () => {
    const script = (killedAt: number): Script =>
      away().at(51_000).message("m", ["laptop"]).acks("laptop", 1, 1, 0).at(killedAt).engine("killed").at(killedAt + 100).engine(
        "started",
      )
        .at(killedAt + 16_000).push("phone", "m");
    expect(script(51_900).findings()).toEqual([]);
    expect(script(53_000).findings()).toEqual(["NOT phone m"]);
  });

  test("a store that fails as it is due, and a provider that is away", () => {
    const due = (): Script => alone().at(10).closes("phone").at(1_000).message("m");
    expect(due().storeFails("put").at(60_000).push("phone", "m").findings()).toEqual([]);
    expect(due().storeFails("put").findings()).toEqual(["MUST phone m"]);
    const outage = (): Script =>
      alone().at(10).closes("phone").provider("hangs").at(1_000).message("m").at(20_000).provider("well");
    expect(outage().at(60_000).push("phone", "m").findings()).toEqual([]);
    expect(outage().findings()).toEqual(["MUST phone m"]);
  });

  test("a provider that was away, until the engine has found out that it is back, and no longer", () => {
    const after = (ms: number): Script =>
      alone().at(10).closes("phone").provider("throws").at(100_000).provider("well").message("m").at(100_000 + ms).push(
        "phone",
        "m",
      );
    expect(after(76_000).findings()).toEqual([]);
    expect(after(78_000).findings()).toEqual(["MUST phone m"]);
  });

  test("sessions of a node that died have their grace again", () => {
    const script = alone().at(1_000).engine("killed").closes("phone", "node").at(1_500).engine("started").at(2_000).message("m");
    expect(script.findings()).toEqual(["MUST phone m"]);
    expect(script.at(16_500).push("phone", "m").findings()).toEqual([]);
  });
});

describe("ONCE, MERGE, ORDER", () => {
  const gone = (): Script => alone().at(10).closes("phone").at(1_000);

  test("a second push after the first was sent", () => {
    const script = gone().message("m").push("phone", "m").at(9_000).push("phone", "m");
    expect(script.findings()).toEqual(["ONCE phone m"]);
  });

  test("a second push after a throw, under the same collapse id", () => {
    expect(gone().message("m").push("phone", "m", "threw").at(9_000).push("phone", "m").findings()).toEqual([]);
    const script = gone().message("m").push("phone", "m", "threw").at(9_000).push("phone", "m", "sent", { collapseId: "other" });
    expect(script.findings()).toEqual(["ONCE phone m"]);
  });

  test("a second push when the node died before it could write down that it was sent", () => {
    const script = gone().message("m").push("phone", "m").at(1_005).engine("killed").at(1_100).engine("started").push(
      "phone",
      "m",
    );
    expect(script.findings()).toEqual([]);
  });

  test("while the first one hangs, until it is given up", () => {
    expect(gone().message("m").push("phone", "m", "none").at(9_000).push("phone", "m").findings()).toEqual(["ONCE phone m"]);
    expect(gone().message("m").push("phone", "m", "none").at(32_000).push("phone", "m").findings()).toEqual([]);
  });

  test("a push may stand for those that wait, and for no more", () => {
    const low = (): Script =>
      gone().message("m", [], { urgency: "low" }).at(2_000).message("n", [], { urgency: "low" }).at(61_000);
    expect(low().push("phone", "m", "sent", { waiting: 2 }).findings()).toEqual([]);
    expect(low().push("phone", "m", "sent", { waiting: 3 }).findings()).toEqual(["MERGE phone m"]);
    expect(low().push("phone", "m").findings()).toEqual(["MUST phone n"]);
  });

  test("what was asked for with another one is asked for again, though the app has shown it meanwhile", () => {
    const low = { urgency: "low" } as const;
    const asked = (waiting: number): Script =>
      gone().message("m", [], low).at(30_000).message("n", [], low).message("o", [], low).at(61_000)
        .push("phone", "m", "retry", { waiting, afterMs: 3_000 });
    const seen = (script: Script): Script => {
      script.at(62_000).opens("phone", {}, false);
      for (const offset of [1, 2, 3]) script.hears("phone", "sara/default", offset);
      return script.acks("phone", 3).at(64_100);
    };
    // Whether n or o was asked for can't be told.
    expect(seen(asked(2)).push("phone", "m", "sent", { waiting: 2 }).findings()).toEqual([]);
    expect(seen(asked(1)).push("phone", "m", "sent", { waiting: 2 }).findings()).toContain("MERGE phone m");
  });

  test("what waited while the provider was away may leave with what has another urgency", () => {
    const low = (): Script => gone().message("low", [], { urgency: "low" });
    const both = (script: Script): Script => script.message("m").push("phone", "m", "sent", { waiting: 2 });
    expect(both(low().at(62_000).provider("hangs").at(80_000).provider("well").at(81_000)).findings()).toEqual([]);
    expect(both(low().at(62_000)).findings()).toContain("MERGE phone m");
    // It was away before anything was due, and that was long ago.
    const before = gone().provider("hangs").at(2_000).provider("well").at(200_000).message("low", [], { urgency: "low" });
    expect(both(before.at(260_000)).findings()).toContain("MERGE phone m");
  });

  test("in the order of the log", () => {
    const script = gone().message("m").message("n").at(2_500).push("phone", "n").at(2_900).push("phone", "m");
    expect(script.findings()).toEqual(["ORDER phone m"]);
  });
});

describe("PACE", () => {
  const FIVE = ["1", "2", "3", "4", "5"];
  /** A phone that is away, and five pushes at 1,000 to 5,000. */
  const burst = (): Script =>
    FIVE.reduce((script, id) => script.at(1_000 * Number(id)).message(id).push("phone", id), alone().at(10).closes("phone"));

  test("five leave within a minute, the sixth waits until a minute after the fifth", () => {
    expect(burst().at(6_000).message("6").push("phone", "6").findings()).toEqual(["PACE phone 6"]);
    expect(burst().at(6_000).message("6").at(65_000).push("phone", "6").findings()).toEqual([]);
    expect(burst().at(6_000).message("6").at(70_000).push("phone", "6").findings()).toEqual(["MUST phone 6"]);
  });

  test("one that waited begins the next minute, for all that come", () => {
    const script = burst().at(6_000).message("6").at(65_000).push("phone", "6").at(66_000).message("7").message("8");
    expect(script.findings()).toEqual(["MUST phone 7", "MUST phone 8"]);
    expect(script.at(125_000).push("phone", "7", "sent", { waiting: 2 }).findings()).toEqual([]);
  });

  test("a high urgency leaves at once", () => {
    const script = burst().at(6_000).message("6", [], { urgency: "high" });
    expect(script.findings()).toEqual(["MUST phone 6"]);
    expect(script.push("phone", "6").findings()).toEqual([]);
  });

  test("a high urgency overtakes what waits for its turn, and nothing else does", () => {
    const overtaken = (urgency: "normal" | "high"): Script =>
      burst().at(6_000).message("6").at(20_000).message("7", [], { urgency }).push("phone", "7").at(65_000).push("phone", "6");
    expect(overtaken("high").findings()).toEqual([]);
    expect(overtaken("normal").findings()).toContain("ORDER phone 6");
    const unpaced = alone().at(10).closes("phone").at(1_000).message("1").at(2_500).message("2", [], { urgency: "high" });
    expect(unpaced.push("phone", "2").at(2_900).push("phone", "1").findings()).toEqual(["ORDER phone 1"]);
  });

  test("another node knows nothing of what left before", () => {
    const script = burst().at(5_500).engine("killed").at(5_600).engine("started").at(6_000).message("6").push("phone", "6");
    expect(script.findings()).toEqual([]);
  });
});

test("a finding tells its story, and nothing that is no part of it", () => {
  const script = away().subscribed().at(51_000).message("other", ["laptop"], { topic: "*/news" }).acks(
    "laptop",
    1,
    1,
    0,
    "*/news",
  );
  script.at(52_000).message("m", ["laptop"]).acks("laptop", 2, 1, 0).at(60_000).push("phone", "m");
  const [finding] = script.judged();
  expect(finding).toMatchObject({ rule: "NOT", device: "phone", message: "m", at: 60_000 });
  const story = finding!.story.join("\n");
  for (const told of ["appended m to sara/default", "laptop(2) says ack (in front, last input 0 ms ago)", "PUSH 1 of m"]) {
    expect(story).toContain(told);
  }
  expect(story).not.toContain("appended other");
});
