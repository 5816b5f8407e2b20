import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Handled } from "../../src/ports/users.ts";
import { howHandled, withHandled, withHandledBy, withRead, withUnsure } from "../../src/reading/handled.ts";

const epoch = 5;

/** The offsets up to 60 that count as dealt with. */
function offsets(handled: Handled | undefined): number[] {
  return Array.from({ length: 60 }, (_, index) => index + 1).filter((offset) => howHandled(handled, { epoch, offset }));
}

function numbers(after: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - after) }, (_, index) => after + 1 + index);
}

type Change = { kind: "handled" | "read"; a: number; b: number };

const changes = fc.array(
  fc.record({
    kind: fc.constantFrom<"handled" | "read">("handled", "handled", "handled", "read"),
    a: fc.integer({ min: 0, max: 50 }),
    b: fc.integer({ min: 0, max: 50 }),
  }),
  { maxLength: 12 },
);

function apply(handled: Handled | undefined, { kind, a, b }: Change): Handled {
  return kind === "read" ? withRead(handled, epoch, b) : withHandled(handled, epoch, a, b);
}

describe("what is handled", () => {
  test("is the union of what was said, as long as it is in eight ranges; of more only the lowest is forgotten", () => {
    fc.assert(fc.property(changes, (changes) => {
      let handled: Handled | undefined;
      let known = new Set<number>();
      for (const change of changes) {
        handled = apply(handled, change);
        for (const offset of numbers(change.kind === "read" ? 0 : change.a, change.b)) known.add(offset);
        const found = offsets(handled);
        const forgotten = [...known].filter((offset) => !found.includes(offset));
        expect(found.filter((offset) => !known.has(offset))).toEqual([]);
        if (forgotten.length > 0) {
          expect(handled.ranges).toHaveLength(8);
          expect(Math.max(...forgotten)).toBeLessThan(Math.min(...found.filter((offset) => offset > handled!.read)));
        }
        known = new Set(found);
      }
    }));
  });

  test("said twice changes nothing, and whoever gave it sees that by the object", () => {
    fc.assert(fc.property(changes, (changes) => {
      let handled: Handled | undefined;
      for (const change of changes) {
        handled = apply(handled, change);
        if (handled.ranges.length < 8) expect(apply(handled, change)).toBe(handled);
      }
    }));
  });

  test("stands as rising ranges apart from each other, above what was read", () => {
    fc.assert(fc.property(changes, (changes) => {
      const handled = changes.reduce<Handled | undefined>(apply, undefined);
      let before = (handled?.read ?? 0) - 1;
      for (const [after, to] of handled?.ranges ?? []) {
        expect(after).toBeGreaterThan(before);
        expect(to).toBeGreaterThan(after);
        before = to;
      }
    }));
  });

  test("of another epoch is nothing", () => {
    const handled = withRead(withHandled(undefined, epoch, 3, 9), epoch, 2);
    expect(howHandled(handled, { epoch: epoch + 1, offset: 2 })).toBe(undefined);
    expect(withHandled(handled, epoch + 1, 0, 1)).toEqual({ epoch: epoch + 1, read: 0, ranges: [[0, 1]] });
    expect(howHandled(undefined, { epoch, offset: 1 })).toBe(undefined);
  });

  test("tells read from handled", () => {
    const handled = withRead(withHandled(undefined, epoch, 3, 9), epoch, 4);
    expect([4, 5, 9, 10].map((offset) => howHandled(handled, { epoch, offset }))).toEqual([
      ...["read", "handled", "handled", undefined],
    ]);
  });

  test("keeps what is unsure of each device, eight at most, and says by the object when nothing changed", () => {
    const unsure = (device: string, to: number) => ({ device, after: 0, to, until: 9 });
    let handled = withUnsure(withHandled(undefined, epoch, 0, 1), "phone", unsure("phone", 3));
    handled = withUnsure(handled, "tablet", unsure("tablet", 4));
    expect(handled.unsure).toEqual([unsure("phone", 3), unsure("tablet", 4)]);
    expect(withUnsure(handled, "phone", unsure("phone", 3))).toBe(handled);
    expect(withUnsure(handled, "phone", unsure("phone", 5)).unsure).toEqual([unsure("tablet", 4), unsure("phone", 5)]);
    expect(withUnsure(handled, "laptop", undefined)).toBe(handled);
    const none = withUnsure(withUnsure(handled, "phone", undefined), "tablet", undefined);
    expect(none).toEqual({ epoch, read: 0, ranges: [[0, 1]] });
    for (let index = 0; index < 9; index++) handled = withUnsure(handled, `${index}`, unsure(`${index}`, 1));
    expect(handled.unsure!.map(({ device }) => device)).toEqual(["1", "2", "3", "4", "5", "6", "7", "8"]);
  });

  test("by a device begins where its reading began, and leaves out what its handler failed on", () => {
    const progress = { epoch, from: 10, acked: 20, shown: 20, decided: 20, failed: [12, 13, 20, 25] };
    expect(offsets(withHandledBy(undefined, progress, 20))).toEqual([11, 14, 15, 16, 17, 18, 19]);
    expect(offsets(withHandledBy(undefined, { ...progress, failed: [] }, 12))).toEqual([11, 12]);
    expect(offsets(withHandledBy(undefined, progress, 9))).toEqual([]);
  });
});
