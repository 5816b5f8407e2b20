import { expect, test } from "vitest";
import { createManualClock } from "../../adapters/conformance/manual_clock.ts";
import type { Authenticate } from "../../mod.ts";
import { createBench } from "./wire.ts";

const START = createManualClock().now();

interface Line {
  level: string;
  message: string;
  hint?: unknown;
  repeated?: unknown;
}

/** An engine whose `authenticate` answers what it may not, and what it says of that. */
async function answering(answer: (token: string | undefined) => unknown) {
  const lines: Line[] = [];
  const log = (level: string) => (message: string, fields?: object) => void lines.push({ level, message, ...fields });
  const logger = { info: log("info"), warn: log("warn"), error: log("error") };
  const bench = await createBench({ authenticate: (({ token }) => answer(token)) as Authenticate, logger });
  return { ...bench, lines };
}

const SECRET = "k3y of sara";

test.each<[string, unknown, string]>([
  ["a text", SECRET, "no object but a string"],
  ["true", true, "no object but a boolean"],
  ["a number", 42, "no object but a number"],
  ["a function", () => SECRET, "no object but a function"],
  ["another field", { id: SECRET, token: SECRET }, "an object without userId"],
  ["a list", [SECRET], "an object without userId"],
  ["a number as userId", { userId: 42 }, "no text but a number"],
  ["a bigint as userId", { userId: 42n }, "no text but a bigint"],
  ["NaN as userId", { userId: NaN }, "no text but NaN"],
  ["undefined as userId", { userId: undefined }, "no text but undefined"],
  ["null as userId", { userId: null }, "no text but null"],
  ["an object as userId", { userId: { SECRET } }, "no text but an object"],
  ["an empty userId", { userId: "" }, "no name: empty"],
  ["the name of everybody", { userId: "*" }, "no name: '*' is reserved"],
  ["a path as userId", { userId: `${SECRET}/1` }, "no name: holds '/'"],
  ["NaN as end", { userId: "sara", expiresAt: NaN }, "no finite number but NaN"],
  ["Infinity as end", { userId: "sara", expiresAt: Infinity }, "no finite number but Infinity"],
  ["a Date as end", { userId: "sara", expiresAt: new Date(START + 60_000) }, "no finite number but a Date"],
  ["a text as end", { userId: "sara", expiresAt: "2030-01-01" }, "no finite number but a string"],
  ["null as end", { userId: "sara", expiresAt: null }, "no finite number but null"],
])("%s: clients are to come back later, and the log says what to answer, without any of it", async (_, answer, what) => {
  const { lines, open, engine } = await answering(() => answer);
  const refused = await open(SECRET);
  expect(refused.of("error")).toMatchObject([{ ref: null, code: "unavailable", retryable: true }]);
  expect(refused.closedWith).toBe(4005);
  expect(lines).toEqual([{ level: "error", message: expect.stringContaining(what), hint: expect.stringMatching(/\w/) }]);
  expect(JSON.stringify([lines, refused.frames])).not.toContain("k3y");
  expect(await engine.sessions("sara")).toEqual([]);
});

test("each kind of wrong answer is in the log once a minute, with how often it came", async () => {
  const { lines, open, clock } = await answering((token) => token === "id" ? { id: 1 } : { userId: 1 });
  await open("id");
  await open("number");
  await clock.advance(30_000);
  for (let i = 0; i < 5; i++) await open("id");
  expect(lines.map(({ message }) => message)).toEqual([
    "authenticate() answered an object without userId",
    "authenticate() answered a userId that is no text but a number",
  ]);
  await clock.advance(29_999);
  await open("id");
  expect(lines).toHaveLength(2);
  await clock.advance(1);
  await open("id");
  expect(lines.slice(2)).toMatchObject([{ message: "authenticate() answered an object without userId", repeated: 6 }]);
  await clock.advance(60_000);
  await open("id");
  expect(lines[3]).toMatchObject({ message: "authenticate() answered an object without userId" });
  expect(lines[3]).not.toHaveProperty("repeated");
});

test("a client gets in as soon as authenticate answers well", async () => {
  let isRepaired = false;
  const { open } = await answering((token) => isRepaired ? { userId: token } : token);
  expect((await open("sara")).end).toBe("unavailable 4005");
  isRepaired = true;
  expect((await open("sara")).frames[0]?.type).toBe("welcome");
});

test("an end in seconds is taken as such, and the log says so once", async () => {
  const { lines, open, clock } = await answering((token) => ({ userId: token, expiresAt: START / 1_000 + 60 }));
  const [sara, omid] = [await open("sara"), await open("omid")];
  expect(lines).toEqual([{
    level: "warn",
    message: "authenticate() answered an expiresAt in seconds: it is taken as such",
    hint: expect.stringContaining("times 1000"),
  }]);
  await clock.advance(59_999);
  expect(sara.closedWith).toBeUndefined();
  await clock.advance(1);
  expect([sara.end, omid.end]).toEqual(["expired 4001", "expired 4001"]);
});

test("an end in seconds that is over is expired; one in milliseconds from 2001 on is none in seconds", async () => {
  const { lines, open } = await answering((token) => ({ userId: "sara", expiresAt: Number(token) }));
  for (const long of [0, -1, Date.UTC(2001, 0, 1)]) expect((await open(String(long))).end).toBe("expired 4001");
  expect(lines).toEqual([]);
  expect((await open(String(START / 1_000))).end).toBe("expired 4001");
  expect(lines).toHaveLength(1);
});

test("a renewal and a question whose a token is are answered alike, and the connection goes on", async () => {
  const { lines, open, clock } = await answering((token) => token === "sara" ? { userId: "sara" } : { id: token });
  const sara = await open("sara");
  sara.send({ type: "token", ref: 1, token: "new" }, { type: "identify", ref: 2, token: "other" });
  await clock.settle();
  expect([sara.answer(1), sara.answer(2)]).toMatchObject([
    { type: "error", code: "unavailable", retryable: true },
    { type: "error", code: "unavailable", retryable: true },
  ]);
  expect(sara.closedWith).toBeUndefined();
  expect(lines).toHaveLength(1);
});
