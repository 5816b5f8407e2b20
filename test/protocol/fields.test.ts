import { expect, test } from "vitest";
import type { PeykError } from "../../mod.ts";
import { checkFields, checkKinds, type Kind, nearestOf } from "../../src/protocol/fields.ts";

const known = { content: true, channel: true, ttl: true, silent: true };

function faultOf(given: unknown): { message: string; code: string; hint: string | undefined } | undefined {
  try {
    checkFields(given, known, "publish", "bad-message");
    return undefined;
  } catch (error) {
    const { message, code, hint } = error as PeykError;
    return { message, code, hint };
  }
}

test("known fields pass, undefined counts as absent, and what is inherited is not looked at", () => {
  for (const given of [{}, { content: 1, ttl: undefined }, { colour: undefined }, Object.create({ colour: 1 })]) {
    expect(faultOf(given)).toBeUndefined();
  }
});

test("a field that is not known is named, with the one that was meant and all that there are", () => {
  expect(faultOf({ content: "hi", contents: 1 })).toEqual({
    message: 'publish has no field "contents"',
    code: "bad-message",
    hint: 'Did you mean "content"? Its fields: content, channel, ttl, silent.',
  });
  expect(faultOf({ colour: 1 })?.hint).toBe("Its fields: content, channel, ttl, silent.");
  for (const name of ["__proto__x", "toString", "constructor", "hasOwnProperty"]) {
    expect(faultOf({ [name]: 1 })?.code).toBe("bad-message");
  }
  expect(faultOf(JSON.parse('{ "__proto__": 1 }'))?.message).toBe('publish has no field "__proto__"');
});

test("a name of any length and kind is shown as well-formed text of 64 characters", () => {
  expect(faultOf({ [`${"x".repeat(63)}\u{1f600}${"y".repeat(100_000)}`]: 1 })?.message).toBe(
    `publish has no field "${"x".repeat(63)}\ufffd"`,
  );
});

test.each([undefined, null, true, 5, "content", [{ content: 1 }], () => 1])("%j is not an object", (given) => {
  expect(faultOf(given)).toMatchObject({ message: "publish is not an object", code: "bad-message" });
});

test.each([
  ["Content", "content"],
  ["contnet", "content"],
  ["contet", "content"],
  ["conttent", "content"],
  ["chanel", "channel"],
  ["channels", "channel"],
  ["TTL", "ttl"],
  ["tll", "ttl"],
  ["slient", "silent"],
  ["time", undefined],
  ["", undefined],
  ["body", undefined],
  ["x".repeat(10_000), undefined],
])("the nearest to %j is %j", (given, nearest) => {
  expect(nearestOf(given, Object.keys(known))).toBe(nearest);
});

test.each<[Kind, unknown[], unknown[]]>([
  ["text", ["", "a"], [5, null, {}, new String("a")]],
  ["number", [0, -1.5, Infinity], [NaN, "5", null, 5n]],
  ["flag", [true, false], ["true", 0, null]],
  ["function", [() => 1, Date], [{}, "f", null]],
  ["list", [[], [1]], [{ length: 0 }, "a", null]],
  ["object", [{}, new Date()], [[], null, "a", () => 1]],
  ["any", [null, 5, NaN], []],
])("a field of the kind %s takes what is of it, and undefined, and refuses all else by name", (kind, right, wrong) => {
  for (const value of [undefined, ...right]) checkKinds({ field: value }, { field: kind }, "adapter");
  for (const value of wrong) {
    expect(() => checkKinds({ field: value }, { field: kind }, "adapter")).toThrow(
      expect.objectContaining({ code: "bad-config", message: expect.stringMatching(/^adapter: field is not /) }),
    );
  }
});

test("of a field in milliseconds the hint says so", () => {
  expect(() => checkKinds({ graceMs: "5" }, { graceMs: "number" }, "policy")).toThrow(
    expect.objectContaining({ hint: "policy: graceMs is a number of milliseconds." }),
  );
});
