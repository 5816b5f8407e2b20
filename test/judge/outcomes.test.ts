import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { canBe, CELLS, LAPTOPS, type Outcome, OWN, ownSentenceOf, PHONES, REASONS, SCENES, sentenceOf } from "./outcomes.ts";
import { outcomesPage } from "./outcomes_page.ts";
import { play, type Played, playOwn } from "./play.ts";

const cells = CELLS.filter(canBe).map((cell) => ({ ...cell, sentence: sentenceOf(cell) }));

describe("phone and laptop", () => {
  test.each(cells)("$scene, laptop $laptop, phone $phone: $sentence", async ({ expected, laptop, phone, scene }) => {
    const played = await play(scene, laptop, phone);
    expect({ requests: told(played), findings: played.findings }).toEqual({
      requests: expectedOf(expected, played),
      findings: [],
    });
  });
});

describe("one's own message", () => {
  const places = ["unseen", "suspect", "backgrounded", "recent", "away"] as const;
  const cases = OWN.flatMap((own) => places.map((place) => ({ ...own, place, sentence: ownSentenceOf(own) })));
  test.each(cases)("from $sender to $to, the other one $place: $sentence", async ({ place, sentence: _, ...own }) => {
    const played = await playOwn(own, place);
    expect({ own: told(played.own), other: told(played.other) }).toEqual({
      own: [],
      other: own.other === "push" ? ["sent"] : [],
    });
    expect([...played.own.findings, ...played.other.findings]).toEqual([]);
  });
});

test("every cell is there, and those that can't be say why", () => {
  expect(CELLS).toHaveLength(Object.keys(SCENES).length * Object.keys(LAPTOPS).length * Object.keys(PHONES).length);
  for (const cell of CELLS) if (!canBe(cell)) expect(Object.keys(REASONS)).toContain(cell.expected);
});

test("docs/outcomes.md is what the table says: npm run outcomes", () => {
  expect(readFileSync(new URL("../../docs/outcomes.md", import.meta.url), "utf8")).toBe(outcomesPage());
});

/** What the push service said, request by request. */
function told({ requests }: Played): string[] {
  return requests.map(({ verdict }) => verdict ?? "nothing");
}

/** What it should have been asked and said, given what it was. */
function expectedOf(outcome: Outcome, { lastInput, requests }: Played): string[] {
  // What is asked again is the same notification.
  expect(new Set(requests.map(({ collapseId }) => collapseId)).size).toBeLessThanOrEqual(1);
  const putOff = requests.filter(({ verdict }) => verdict === "retry").map(() => "retry");
  switch (outcome) {
    case "push":
      return [...putOff, "sent"];
    case "none":
      return putOff;
    case "idle": {
      const at = requests.at(-1)?.at ?? 0;
      expect(at - (lastInput! + 120_000), "when it leaves").toBeGreaterThanOrEqual(-100);
      expect(at - (lastInput! + 120_000), "when it leaves").toBeLessThanOrEqual(2_000);
      return [...putOff, "sent"];
    }
    case "left":
      return requests.length === 2 ? ["nothing", "sent"] : ["nothing"];
    case "again":
      return ["nothing", "sent"];
  }
}
