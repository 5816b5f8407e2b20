import { describe, expect, test } from "vitest";
import fc from "fast-check";
import { PeykError } from "../../src/protocol/errors.ts";
import { checkName, isPublic, MAX_NAME_BYTES, nameFault, ownerOf, splitTopic, topicOf } from "../../src/protocol/names.ts";

const badName = expect.objectContaining({ code: "bad-name", hint: expect.stringMatching(/./) });

describe("a name", () => {
  test.each([
    "a",
    "989125336383",
    "a.b",
    "a@b.c",
    "+98",
    "a b",
    " ",
    "*a",
    "**",
    ">",
    "$JS.API",
    "_INBOX.x",
    "پیک",
    "👋",
    "x".repeat(128),
    "é".repeat(64),
  ])(
    "may be %j",
    (name) => {
      expect(checkName(name, "userId")).toBe(name);
      expect(splitTopic(topicOf(name, name))).toEqual({ to: name, channel: name });
    },
  );

  test.each([
    "",
    "*",
    "/",
    "a/b",
    "a\tb",
    "a\rb",
    "a\nb",
    "\0",
    "\x7f",
    "\x80",
    "\x9f",
    "\ud800",
    "a\udc00b",
    "x".repeat(129),
    "é".repeat(65),
    "👋".repeat(33),
    "x".repeat(4096),
  ])(
    "may not be %j",
    (name) => {
      expect(() => checkName(name, "channel")).toThrow(badName);
      expect(() => topicOf("u", name)).toThrow(badName);
    },
  );

  test.each([undefined, null, 1, {}, ["a"], Symbol("a")])("may not be of another type", (name) => {
    expect(nameFault(name)).toBe("not a string");
    expect(() => checkName(name, "deviceId")).toThrow(badName);
    expect(() => splitTopic(name)).toThrow(badName);
  });

  test("is never repeated in the error", () => {
    expect(() => checkName("sECRET\n", "deviceId")).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining("sECRET") }),
    );
  });
});

describe("a topic", () => {
  test("without a channel is the default one's", () => {
    expect(topicOf("u42")).toBe("u42/default");
  });

  test("of everybody is told from a user's", () => {
    expect(isPublic(topicOf("*", "news"))).toBe(true);
    expect(isPublic(topicOf("*a", "news"))).toBe(false);
    expect(ownerOf(topicOf("u42", "news"))).toBe("u42");
  });

  test.each(["", "/", "a/", "/a", "a", "*", "a/*", "*/", "a/b/c", "a//b", "*/a/b"])("may not be %j", (topic) => {
    expect(() => splitTopic(topic)).toThrow(badName);
  });
});

test("20,000 pairs of names: each that is taken makes a topic of its own, and the rest are bad names", () => {
  const special = fc.constantFrom(
    ".",
    "*",
    ">",
    " ",
    "\t",
    "\r",
    "\n",
    "\0",
    "/",
    "$JS.",
    "_INBOX",
    "\ud800",
    "\udfff",
    "é",
    "👋",
    "\x7f",
    "\u0085",
    "a",
    "b",
  );
  const name = fc.oneof(
    { weight: 6, arbitrary: fc.array(special, { maxLength: 4 }).map((parts) => parts.join("")) },
    { weight: 2, arbitrary: fc.string({ unit: "binary", maxLength: 140 }) },
    { weight: 1, arbitrary: fc.nat(4096).map((length) => "x".repeat(length)) },
  );
  const made = new Map<string, string>();
  let taken = 0;
  let refused = 0;
  fc.assert(
    fc.property(name, name, (to, channel) => {
      let topic: string;
      try {
        topic = topicOf(to, channel);
      } catch (error) {
        if (!(error instanceof PeykError) || error.code !== "bad-name") throw error;
        const toFault = to === "*" ? undefined : nameFault(to);
        if (toFault === undefined && channel !== "*" && nameFault(channel) === undefined) {
          throw new Error("refused for no reason");
        }
        refused++;
        return;
      }
      taken++;
      const parts = splitTopic(topic);
      if (parts.to !== to || parts.channel !== channel) throw new Error("split into other parts");
      if (new TextEncoder().encode(topic).length > MAX_NAME_BYTES * 2 + 1) throw new Error("longer than two names");
      const pair = JSON.stringify([to, channel]);
      if ((made.get(topic) ?? pair) !== pair) throw new Error("two pairs made one topic");
      made.set(topic, pair);
    }),
    { numRuns: 20_000, seed: 7 },
  );
  expect(taken).toBeGreaterThan(2_000);
  expect(refused).toBeGreaterThan(2_000);
});
