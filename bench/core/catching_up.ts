import process from "node:process";
import { setImmediate as turn } from "node:timers/promises";
import type { Engine, Storage, Topic } from "../../mod.ts";
import { encodeEnvelope, encodePayload } from "../../src/protocol/codec.ts";
import { digits, within } from "./figures.ts";
import { fileStorage, type Ground, startEngine } from "./ground.ts";
import { LoopWatch } from "./loop_watch.ts";
import { fill, openAlone } from "./people.ts";
import type { Plan } from "./plan.ts";
import { Receiving, Returning } from "./returning.ts";
import { quantileOf, sleep, until } from "./time.ts";
import { Watch, watched } from "./watched.ts";

const ROOM = "room";
/** Publishes under way while the messages are written into the storage. */
const WIDTH = 1_000;
/** Between two publishes of somebody who has nothing to do with it, milliseconds. */
const EVERY_MS = 10;
/** Connections that come in one turn of the event loop. */
const PER_TURN = 100;
/** How much a slow socket takes at a time, and how often. */
const SLOW_BYTES = 128 * 1024;
const SLOW_MS = 20;

const nameOf = (index: number): string => `user ${index}`;

/** All of many come back at once, each with so many messages missed: in a topic of their own, or in one that all of them read. */
export async function measureReturns(which: keyof Plan["returns"], ground: Ground): Promise<void> {
  const { clients, limitMs, missed } = ground.plan.returns[which];
  const isRoom = which === "room";
  const topics = isRoom ? [`*/${ROOM}`] : Array.from({ length: clients }, (_, index): Topic => `${nameOf(index)}/default`);
  const storage = fileStorage(ground, `returns ${which}`);
  await fill(storage, clients, (index) => ({ userId: nameOf(index), reachable: 0, ...(isRoom ? { channels: [ROOM] } : {}) }));
  await write(storage, topics, missed, 100);
  const engine = await startSwept(storage, topics, missed);

  const receiving = new Receiving();
  const [watch, cpu, started] = [await Others.come(engine), process.cpuUsage(), performance.now()];
  for (let index = 0; index < clients; index++) {
    new Returning(engine, nameOf(index), receiving, false);
    // As sockets do: some in each turn of the event loop.
    if (index % PER_TURN === PER_TURN - 1) await turn();
  }
  const wanted = clients * missed;
  const all = await until(limitMs, () => receiving.messages >= wanted);
  const tookMs = performance.now() - started;
  const { system, user } = process.cpuUsage(cpu);
  const own = (system + user) / 1_000 - receiving.ownMs;
  const { report } = ground;
  const what = `${digits(clients)} return, each ${digits(missed)} behind in ${isRoom ? "a room" : "their own topic"}`;
  report(`${what}: until all have all, ms`, within(all ? tookMs : undefined, limitMs));
  report("  CPU per delivery without the clients' part, µs", digits(own * 1_000 / receiving.messages), { target: "≤ 10" });
  await watch.report(ground);
  await engine.close();
}

/** Sockets that take little, and a topic in which much waits for them. */
export async function measureSlowReaders(ground: Ground): Promise<void> {
  const { bytes, entries, forMs, readers } = ground.plan.slowReaders;
  const topic: Topic = `*/${ROOM}`;
  const storage = fileStorage(ground, "slow readers");
  await fill(storage, readers, (index) => ({ userId: nameOf(index), reachable: 0, channels: [ROOM] }));
  await write(storage, [topic], entries, bytes);
  const engine = await startSwept(storage, [topic], entries);

  const receiving = new Receiving();
  const watch = await Others.come(engine);
  const devices = Array.from({ length: readers }, (_, index) => new Returning(engine, nameOf(index), receiving, true));
  // Each at a moment of its own.
  let next = 0;
  const timer = setInterval(() => {
    for (let count = 0; count < readers / SLOW_MS; count++) devices[next++ % readers]!.take(SLOW_BYTES);
  }, 1);
  await until(forMs, () => receiving.messages >= readers * entries);
  clearInterval(timer);
  ground.report(
    `${digits(readers)} slow readers, ${digits(bytes * entries / 2 ** 20)} MB in their topic: brought in ${
      digits(forMs / 1_000)
    } s, MB`,
    digits(receiving.messages * bytes / 2 ** 20),
  );
  await watch.report(ground);
  await engine.close();
}

/** So many messages in each topic, as its log has them. */
async function write(storage: Storage, topics: readonly Topic[], each: number, bytes: number): Promise<void> {
  const { transport, close } = await openAlone(storage);
  const payload = encodePayload("x".repeat(bytes), undefined);
  const expiresAt = Date.now() + 24 * 3600_000;
  let next = 0;
  await Promise.all(Array.from({ length: WIDTH }, async () => {
    while (next < topics.length * each) {
      const index = next++;
      const id = `message ${index}`;
      const envelope = encodeEnvelope({ ...{ id, from: undefined, sentAt: Date.now(), expiresAt, options: undefined }, payload });
      await transport.publish(topics[Math.floor(index / each)]!, envelope, { key: id, expiresAt });
    }
  }));
  await close();
}

/** An engine that has decided about all that. */
async function startSwept(storage: Storage, topics: readonly Topic[], each: number): Promise<Engine> {
  const watch = new Watch();
  const engine = await startEngine({ storage: watched(storage, watch) });
  await until(60_000, () => topics.every((topic) => (watch.swept.get(topic) ?? 0) >= each), 20);
  return engine;
}

/** What somebody who has nothing to do with it notices: how long a publish takes, from the moment that was meant. */
class Others {
  readonly #loop = new LoopWatch();
  readonly #took: number[] = [];
  readonly #timer: ReturnType<typeof setInterval>;

  static async come(engine: Engine): Promise<Others> {
    for (let warming = 0; warming < 100; warming++) await engine.publish({ to: "*", channel: "other", content: "hi" });
    await sleep(100);
    return new Others(engine);
  }

  private constructor(engine: Engine) {
    let meantAt = performance.now();
    this.#timer = setInterval(() => {
      // A stalled loop skips some of these.
      for (const now = performance.now(); meantAt <= now; meantAt += EVERY_MS) {
        const at = meantAt;
        void engine.publish({ to: "*", channel: "other", content: "hi" }).then(() => this.#took.push(performance.now() - at));
      }
    }, EVERY_MS);
  }

  async report({ report }: Ground): Promise<void> {
    // A stall that is just over is told by timers that are late.
    await sleep(50);
    clearInterval(this.#timer);
    this.#loop.end();
    report("  the longest that the event loop was held, ms", digits(this.#loop.longestMs), { target: "≤ 100" });
    report("  others' publish: p50 / p99, ms", [0.5, 0.99].map((q) => digits(quantileOf(this.#took, q))).join(" / "), {
      target: "p99 ≤ 100",
    });
  }
}
