import { CHANNEL, type Crowd } from "./crowd.ts";
import { crowdFile, membersOf, openCrowd } from "./crowd_stage.ts";
import { Device } from "./device.ts";
import { digits, within } from "./figures.ts";
import type { Ground } from "./ground.ts";
import { LoopWatch } from "./loop_watch.ts";
import { MemoryWatch } from "./memory_watch.ts";
import { RowWatch } from "./row_watch.ts";
import { atMoments, quantileOf, until } from "./time.ts";

/** Publishes something to the channel, and tells its offset. */
export type Publish = () => Promise<number>;

/** How messages come: resolves when the last is taken in, with its offset. */
type Way = (publish: Publish, ground: Ground) => Promise<number>;

/** A message a second. */
export const seconds: Way = async (publish, { plan: { burst } }) => {
  const all: Promise<number>[] = [];
  await atMoments(burst.seconds, 1_000, () => void all.push(publish()));
  return (await Promise.all(all)).at(-1)!;
};

/** One, and no more. */
export const once: Way = (publish) => publish();

/** One after the other, as fast as they are taken in. */
export const together: Way = async (publish, { plan: { burst: { messages, publishMs } } }) => {
  const end = performance.now() + publishMs;
  let last = 0;
  for (let done = 0; done < messages && performance.now() < end; done++) last = await publish();
  return last;
};

/** Messages to a channel with many who are away, and some who are there. */
export async function measureBurst(way: Way, ground: Ground): Promise<void> {
  const { plan: { burst: { present, pushedMs } }, report, say } = ground;
  const { crowd, engine } = await openCrowd(ground);
  const publishedAt = new Map<string, number>();
  const latencies: number[] = [];
  const got = (id: string): void => void latencies.push(performance.now() - publishedAt.get(id)!);
  for (let index = 0; index < present; index++) {
    const userId = `present ${index}`;
    await engine.subscribe(userId, { to: "*", channel: CHANNEL });
    await Device.signIn(engine, { userId, got });
  }
  const file = crowdFile(ground);
  // What looks at the rows needs memory of its own.
  const rows = file === undefined ? undefined : await RowWatch.begin(file);
  const [memory, loop] = [new MemoryWatch(), new LoopWatch()];
  const started = performance.now();
  const last = await way(async () => {
    const id = `message ${publishedAt.size}`;
    publishedAt.set(id, performance.now());
    return (await engine.publish({ to: "*", channel: CHANNEL, content: "news", id })).position!.offset;
  }, ground);
  const messages = publishedAt.size;
  const publishing = performance.now() - started;
  say(`${messages} messages are taken in`);
  const tookMs = await pushedWithin(pushedMs, crowd, last, messages);
  loop.end();
  // Evaluating all this takes memory too.
  const grownBy = memory.grownBy();

  report("messages taken in", `${messages} in ${digits(publishing / 1_000)} s`);
  report("event loop delay: p99 / longest, ms", `${digits(loop.p99Ms)} / ${digits(loop.longestMs)}`);
  const deliveries = `${digits(latencies.length)} of ${digits(messages * present)} deliveries`;
  report("those present: p99 delivery, ms", `${digits(quantileOf(latencies, 0.99))} (${deliveries})`);
  report("first push after, ms", within(crowd.firstAt && crowd.firstAt - started, publishing + pushedMs));
  report(
    "from the last message until each member was pushed, s",
    tookMs === undefined
      ? `not within ${pushedMs / 1_000} s: ${digits(crowd.percent(last, messages))} % were`
      : digits(tookMs / 1_000),
  );
  report("RSS above idle, most, MB", digits(grownBy));
  if (rows === undefined) return;
  const { all, mostPending } = await rows.counts();
  report("rows that waited at a time, most", digits(mostPending));
  report("rows written per member", digits(all / membersOf(ground)));
}

/** Milliseconds from now on; undefined: longer. */
async function pushedWithin(limitMs: number, crowd: Crowd, last: number, messages: number): Promise<number | undefined> {
  const started = performance.now();
  const all = await until(limitMs, () => crowd.allHave(last, messages), 20);
  return all ? performance.now() - started : undefined;
}
