import { expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import type { Peers, Users } from "../../mod.ts";
import { Neighbours } from "../../src/cluster/neighbours.ts";
import { decodeTalk, encodeTalk } from "../../src/cluster/questions.ts";

test("what is taken from a node while it is being told of what was taken before, it is told of too", async () => {
  const asked: { question: unknown; answer(): void }[] = [];
  const peers = {
    ask: (_: string, bytes: Uint8Array) =>
      new Promise<Uint8Array[]>((resolve) => {
        asked.push({ question: decodeTalk(bytes), answer: () => resolve([encodeTalk(null)]) });
      }),
  } as unknown as Peers;
  const clock = createManualClock();
  const neighbours = new Neighbours({ node: "b", peers, users: {} as Users, clock });
  const told = { from: "b", question: { kind: "lost" } };
  neighbours.adopted("a");
  neighbours.adopted("a");
  expect(asked.map(({ question }) => question), "both at once").toEqual([told]);
  asked[0]!.answer();
  await clock.settle();
  expect(asked.length, "the second may have come too late for the look").toBe(2);
  asked[1]!.answer();
  await clock.settle();
  expect(asked.length).toBe(2);
  neighbours.adopted("a");
  expect(asked.length).toBe(3);
  asked[2]!.answer();
  await neighbours.close();
});
