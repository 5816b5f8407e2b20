import { Device } from "./device.ts";
import { digits, within } from "./figures.ts";
import { fileStorage, type Ground, startEngine } from "./ground.ts";
import { LoopWatch } from "./loop_watch.ts";
import { fill } from "./people.ts";
import { PushService } from "./push_service.ts";
import { sleep, until } from "./time.ts";
import { Watch, watched } from "./watched.ts";

/** Who signs in at a time. */
const WIDTH = 256;

/** All lose their connection at once, as when a load balancer restarts: how long until the engine is done with that? */
export async function measureLost(ground: Ground): Promise<void> {
  const { plan: { lost: { awayMs, graceMs, sessions } }, report, say } = ground;
  const nameOf = (index: number): string => `user ${index}`;
  const file = fileStorage(ground, "lost");
  await fill(file, sessions, (index) => ({ userId: nameOf(index) }));
  const watch = new Watch();
  const engine = await startEngine({ storage: watched(file, watch), push: [new PushService()], policy: { graceMs } });
  say(`${sessions} sessions sign in`);
  const devices: Device[] = [];
  let next = 0;
  await Promise.all(Array.from({ length: WIDTH }, async () => {
    while (next < sessions) devices.push(await Device.signIn(engine, { userId: nameOf(next++) }));
  }));

  const [loop, started] = [new LoopWatch(), performance.now()];
  for (const device of devices) device.drop();
  const dropping = performance.now() - started;
  await sleep(graceMs);
  const gone = await until(awayMs, () => engine.counters().sessions === 0);
  loop.end();
  // Who is written down as away stays that: each is looked at until it is so.
  let away = 0;
  const isAway = async (): Promise<boolean> => {
    while (away < sessions) {
      const record = await watch.users!.get(nameOf(away));
      if (record?.sessions.some(({ leaving, node }) => node !== null || leaving === true) !== false) return false;
      away++;
    }
    return true;
  };
  const done = gone && await until(awayMs, isAway);
  const tookMs = performance.now() - started - graceMs;
  report(
    `${digits(sessions)} sessions lost at once: until all are away, beyond the grace, ms`,
    within(done ? tookMs : undefined, awayMs),
  );
  report("  the longest that the event loop was held, ms", digits(loop.longestMs));
  report("  the turn in which all connections end, ms", digits(dropping));
  await engine.close();
}
