import { expect, test } from "vitest";
import { Gate } from "../../adapters/jetstream/gate.ts";

test("so many are let in, the others in the order they came, each when one leaves", async () => {
  const gate = new Gate(2);
  const inside: string[] = [];
  const come = (name: string): void => {
    const turn = gate.enter();
    if (turn === undefined) inside.push(name);
    else void turn.then(() => inside.push(name));
  };
  ["a", "b", "c", "d", "e"].forEach(come);
  expect(inside).toEqual(["a", "b"]);
  for (const next of ["c", "d", "e"]) {
    gate.leave();
    await Promise.resolve();
    expect(inside.at(-1)).toBe(next);
  }
  // Two are inside, nobody waits: whoever comes waits again, and finds room when all have left.
  come("f");
  expect(inside.at(-1)).toBe("e");
  for (let i = 0; i < 3; i++) gate.leave();
  await Promise.resolve();
  expect(inside.at(-1)).toBe("f");
  come("g");
  come("h");
  expect(inside).toEqual(["a", "b", "c", "d", "e", "f", "g", "h"]);
});
