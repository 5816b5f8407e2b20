import { IdleUser } from "./idle.ts";
import { Stage } from "./node.ts";
import { type OperationKind, OPERATIONS } from "./trace.ts";
import { createWholeClock } from "./whole_clock.ts";

/** The longest that a commit takes. */
const COMMIT_MS = 20;
/** What the others may add. */
const OTHERS_MS = 50;
const SEEDS = 5;
const TIMES = 20;

/** The longest that each operation of an idle user may take, virtual milliseconds. */
export type Bounds = Readonly<Record<OperationKind, number>>;

/** By how many commits each operation of an idle user has ended at most when nobody else is there. */
export async function commitsAlone(): Promise<Record<OperationKind, number>> {
  const most = Object.fromEntries(OPERATIONS.map((kind) => [kind, 0])) as Record<OperationKind, number>;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const clock = createWholeClock();
    const stage = new Stage(clock, seed);
    const { random, store } = stage;
    await stage.start();
    const idle = new IdleUser(stage);
    await idle.begin();
    for (let time = 0; time < TIMES; time++) {
      await clock.advance(2_500 + Math.floor(random.fraction() * 20_000));
      const { commits } = store;
      const isBegun = random.fraction() < 0.5 ? idle.signIn() : idle.receive();
      if (!isBegun) continue;
      const first = idle.operations.all.length;
      for (let ms = 0; ms < 1_000; ms++) {
        const isDone = idle.isDone();
        for (const { kind, end } of idle.operations.all.slice(first)) {
          if (end === clock.elapsed()) most[kind] = Math.max(most[kind], store.commits - commits);
        }
        if (isDone) break;
        await clock.advance(1);
      }
    }
    await stage.close();
    for (const device of idle.devices) device.close("lost");
    await store.close();
  }
  return most;
}

let known: Promise<Bounds> | undefined;

/** What each operation may take: its commits, all of the longest, and a little for the others. */
export function boundsAlone(): Promise<Bounds> {
  return known ??= commitsAlone().then((commits) =>
    Object.fromEntries(OPERATIONS.map((kind) => [kind, commits[kind] * COMMIT_MS + OTHERS_MS])) as Record<OperationKind, number>
  );
}
