import { describe, expect, onTestFinished, test } from "vitest";
import { encodeServerFrame } from "../../src/protocol/codec.ts";
import type { ClientFrame, Cursor, ServerFrame } from "../../src/protocol/frames.ts";
import { fromHex } from "../protocol/vectors.ts";
import { PlayedTo } from "./peer.ts";
import { findPython } from "./find_python.ts";
import type { PythonState } from "./python.ts";

const python = findPython();
if ("missing" in python) console.warn(`examples/python is not tested: ${python.missing}`);

/** A message "1", sent by "u2". */
const envelope = fromHex("96a26d31a27532cf0000019b76daa800cf0000019c11597000c092a131c0");
const epoch = 1;
const cursor = (topic: string, offset: number): Cursor => ({ topic, epoch, offset });
const welcome = (known: Cursor[]): ServerFrame => ({
  type: "welcome",
  version: 1,
  userId: "u1",
  time: 1,
  heartbeatMs: 25_000,
  ackMs: 0,
  inputMs: 30_000,
  limits: { frameBytes: 1024, topics: 1000 },
  recovery: known.map((cursor) => ({ ...cursor, recovered: true })),
});
const message = (topic: string, offset: number): ServerFrame => (
  { type: "message", topic, epoch, offset, previous: offset - 1, envelope }
);

/** A client of an earlier life, which was done with these. */
async function clientOf(cursors: Cursor[], token = "") {
  const kept = { device: "d".repeat(22), user: "u1", cursors: cursors.map(({ topic, epoch, offset }) => [topic, epoch, offset]) };
  const client = await PlayedTo.begin((python as { path: string }).path, token, kept);
  onTestFinished(() => client.close());
  await client.connection();
  return {
    client,
    says: (...frames: ServerFrame[]) => client.say(Uint8Array.from(frames.flatMap((frame) => [...encodeServerFrame(frame)]))),
    /** What it says, up to a frame like this. */
    async heardTo(last: (frame: ClientFrame, cursors: Cursor[]) => boolean) {
      const cursors: Cursor[] = [];
      const frames: ClientFrame[] = [];
      while (frames.length === 0 || !last(frames.at(-1)!, cursors)) {
        const heard = await client.heard(1);
        if (heard.length === 0) throw new Error("it says no more");
        for (const frame of heard) if ("cursors" in frame) cursors.push(...frame.cursors);
        frames.push(...heard);
      }
      return { frames, cursors };
    },
  };
}

/** Of many lengths, so that what is too much by a little shows. */
const name = (at: number) => `*/${String(at).padStart(8 + (at * 7) % 120, "n")}`;

describe.skipIf("missing" in python)("the cursors of the client in Python", () => {
  test.each([["a short token", "t"], ["a token as long as a hello may be", "t".repeat(960)], [
    "a longer one",
    "t".repeat(2_000),
  ]])(
    "no message is longer than 1,024 bytes, with %s",
    async (_, token) => {
      const kept = Array.from({ length: 128 }, (_, at) => cursor(name(at), 2 ** 50 + at));
      const { client, says, heardTo } = await clientOf(kept, token);
      const { frames, cursors } = await heardTo((frame) => "more" in frame && !frame.more);
      expect(cursors).toEqual(kept);
      expect(frames.map((frame) => frame.type)).toEqual(["hello", ...frames.slice(1).map(() => "cursors")]);
      expect(frames.map((frame) => "more" in frame && frame.more)).toEqual(frames.map((_, at) => at < frames.length - 1));
      const [hello, ...others] = client.sizes();
      expect(hello).toBeLessThanOrEqual(Math.max(1024, token.length + 60));
      expect(Math.max(...others)).toBeLessThanOrEqual(1024);
      const before = client.sizes().length;
      await says(welcome(kept), ...kept.map(({ topic, offset }) => message(topic, offset + 1)));
      const acked = await heardTo((_, cursors) => cursors.length === kept.length);
      expect(acked.cursors).toEqual(kept.map(({ topic, offset }) => cursor(topic, offset + 1)));
      expect(Math.max(...client.sizes().slice(before))).toBeLessThanOrEqual(1024);
    },
  );

  test("what an earlier connection has brought is acked as far as this one has brought it again", async () => {
    const { says, heardTo, client } = await clientOf([cursor("u1/default", 45)]);
    await heardTo((frame) => frame.type === "hello");
    await says(welcome([cursor("u1/default", 41)]));
    for (const offset of [42, 43]) {
      await says(message("u1/default", offset));
      expect((await heardTo((frame) => frame.type === "ack")).cursors).toEqual([cursor("u1/default", offset)]);
    }
    await says(message("u1/default", 44), message("u1/default", 45), message("u1/default", 46));
    expect((await heardTo((frame) => frame.type === "ack")).cursors).toEqual([cursor("u1/default", 46)]);
    expect(await client.state()).toMatchObject({ handled: ["1"] });
  });

  test("a hole is filled by a new connection at once; when it is there again, after a backoff", async () => {
    const known = [cursor("u1/default", 41)];
    const { says, heardTo, client } = await clientOf(known);
    const meetsAHole = async () => {
      await heardTo((frame) => frame.type === "hello");
      await says(welcome(known));
      await says(message("u1/default", 44));
      expect(await client.closes()).toBe(4000);
      await client.connection();
      return await client.state();
    };
    const waiting = ["waiting", expect.anything()];
    expect((await meetsAHole() as PythonState).statuses).not.toContainEqual(waiting);
    expect((await meetsAHole() as PythonState).statuses).toContainEqual(waiting);
  });

  test("a node that drains as soon as it is reached is left without a backoff", async () => {
    const { says, heardTo, client } = await clientOf([]);
    await client.end(undefined);
    await client.connection();
    await heardTo((frame) => frame.type === "hello");
    await says(welcome([]), { type: "drain", windowMs: 0 });
    expect(await client.closes()).toBe(4000);
    await client.connection();
    const { statuses } = await client.state() as PythonState;
    expect(statuses.map(([word]) => word)).toEqual(["waiting", "connected"]);
  });
});
