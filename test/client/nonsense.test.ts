// What a server must never send. By hand: PEYK_NONSENSE=20000 for as many messages.
import process from "node:process";
import { expect, test } from "vitest";
import type { Status } from "../../src/client/client.ts";
import { decodeServerFrames } from "../../src/protocol/codec.ts";
import { seededRandom } from "../engine/stage.ts";
import { fromHex, vectors } from "../protocol/vectors.ts";
import { at, entry, quiet, World } from "./fake_server.ts";

const RUNS = Number(process.env["PEYK_NONSENSE"] ?? 4_000);
const frames = vectors.frames.filter(({ side }) => side === "server");

/** The bytes with one fault in them: a byte changed, taken away or put in, the end cut off, or another one's end behind it. */
function mutated(bytes: Uint8Array, chance: (most: number) => number): Uint8Array {
  const place = chance(bytes.length);
  switch (chance(5)) {
    case 0:
      return bytes.with(place, bytes[place]! ^ (1 << chance(8)));
    case 1:
      return bytes.with(place, chance(256));
    case 2:
      return Uint8Array.from([...bytes.slice(0, place), ...bytes.slice(place + 1)]);
    case 3:
      return Uint8Array.from([...bytes.slice(0, place), chance(256), ...bytes.slice(place)]);
    default:
      return bytes.slice(0, place);
  }
}

test(`${RUNS} messages of a server with a fault in them: what is no frame is told as protocol, and the next connection works`, async () => {
  const { fraction } = seededRandom(1);
  const chance = (most: number): number => Math.floor(fraction() * most);
  const told: string[] = [];
  for (let run = 0; run < RUNS; run++) {
    const bytes = mutated(fromHex(frames[run % frames.length]!.hex), chance);
    let isFrame = true;
    try {
      decodeServerFrames(bytes);
    } catch {
      isFrame = false;
    }
    const world = new World();
    const statuses: Status[] = [];
    const handled: number[] = [];
    const client = await world.connected([at("sara/default", 0)]);
    client.onStatus((status) => statuses.push(status));
    client.onError(() => {});
    client.onMessage(({ topic, position }) => void (topic === "sara/new" && handled.push(position!.offset)));
    const early = chance(4) === 0;
    if (early) {
      await world.socket.end(1006);
      await world.time.pass(60_000);
      await world.socket.open();
    }
    world.socket.raw(bytes);
    await quiet();
    const [status] = statuses.slice(-1);
    if (!isFrame) {
      expect(status).toMatchObject({ state: "waiting", reason: "protocol", hint: expect.stringMatching(/./) });
      told.push(frames[run % frames.length]!.name);
    }
    // Whatever it was, what comes on the next connection is handled. A welcome of another user makes one more of it.
    if (statuses.at(-1)!.state !== "closed") {
      if (statuses.at(-1)!.state === "connected") await world.socket.end(1006);
      for (let tries = 0; handled.length === 0 && tries < 3; tries++) {
        for (let wait = 0; world.socket.closedWith !== undefined && wait < 10; wait++) await world.time.pass(60_000);
        await world.socket.welcome([at("sara/new", 0)]);
        if (world.socket.closedWith === undefined) await world.socket.say(entry(1, "sara/new"));
      }
      expect(handled, `after ${frames[run % frames.length]!.name}`).toContain(1);
    }
    await client.close();
  }
  // Of each type some were refused.
  expect(new Set(told).size).toBe(frames.length);
});
