import { Device } from "./device.ts";
import { digits, within } from "./figures.ts";
import { fileStorage, type Ground, startEngine } from "./ground.ts";
import { fill } from "./people.ts";
import { PushService } from "./push_service.ts";
import { notAfter, quantileOf, sleep, took, until } from "./time.ts";
import { Watch, watched } from "./watched.ts";

const COMMIT_MS = 5;
const LIMIT_MS = 15_000;
/** Messages of one channel that wait with rows of their own; further ones would be part of one row. */
const OWN_ROWS = 20;
const [SARA, NIMA] = ["sara", "nima"];

/** Many pushes of one person leave as one, on a slow disk: what do she and others notice of it? */
export async function measureCoalesced(ground: Ground): Promise<void> {
  const { plan: { coalesced: { coalesceMs, rows } }, report, say } = ground;
  const file = fileStorage(ground, "coalesced", COMMIT_MS);
  await fill(file, 2, (index) => ({ userId: [SARA, NIMA][index]! }));
  const [push, watch] = [new PushService(), new Watch()];
  const engine = await startEngine({ storage: watched(file, watch), push: [push], policy: { coalesceMs } });
  const pushToNima = (): Promise<unknown> => {
    const id = crypto.randomUUID();
    const asked = push.askedFor(id);
    return engine.publish({ to: NIMA, content: "hi", id, urgency: "high" }).then(() => asked);
  };
  const alone: number[] = [];
  for (let round = 0; round < 10; round++) alone.push(await took(LIMIT_MS, pushToNima) ?? LIMIT_MS);

  say(`${rows} messages of low urgency`);
  let leaves = (): void => {};
  const leaving = new Promise<void>((resolve) => leaves = resolve);
  const channels = Array.from({ length: rows / OWN_ROWS }, (_, index) => ({ to: SARA, channel: `channel ${index}` }));
  for (const channel of channels) await engine.subscribe(SARA, channel);
  await Promise.all(
    channels.flatMap((channel) =>
      Array.from({ length: OWN_ROWS }, () => engine.publish({ ...channel, content: "when you have time", urgency: "low" }))
    ),
  );
  // From here on the first one to be taken is the one that takes all others along.
  watch.onTake = () => leaves();
  if (!await until(coalesceMs, () => engine.counters().pushesQueued >= rows + alone.length)) {
    report("all of them wait before the first leaves", "no: the figures below are of fewer");
  }
  await notAfter(LIMIT_MS, leaving);
  const before = { asked: push.asked, dueReads: watch.dueReads };
  await sleep(10);
  const started = performance.now();
  const [signedIn, pushed] = await Promise.all([
    took(LIMIT_MS, () => Device.signIn(engine, { userId: SARA, deviceId: "her laptop" })),
    took(LIMIT_MS, pushToNima),
  ]);
  const seconds = (performance.now() - started) / 1_000;
  const dueReads = watch.dueReads - before.dueReads;
  await until(LIMIT_MS, () => {
    const { pushesMerged, pushesSent } = engine.counters();
    return pushesSent + pushesMerged >= rows + alone.length + 1;
  }, 10);

  const waiting = `while ${rows} rows leave together`;
  report(`${waiting}: her own sign-in, ms`, within(signedIn, LIMIT_MS), { before: "2,900" });
  report(`${waiting}: another user's push, ms`, within(pushed, LIMIT_MS), {
    calm: digits(quantileOf(alone, 0.5)),
    before: "2,400; alone 26",
  });
  report(`${waiting}: reads of what is due, in ${digits(seconds)} s`, digits(dueReads), { before: "1,407 in 2.4 s" });
  report("  pushes that they left as", digits(push.asked - before.asked - 1));
  await engine.close();
}
