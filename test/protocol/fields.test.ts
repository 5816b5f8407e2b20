import { expect, test } from "vitest";
import type { PeykError } from "../../mod.ts";
import { checkFields, nearestOf } from "../../src/protocol/fields.ts";

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
