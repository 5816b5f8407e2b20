import { CHANNEL } from "./crowd.ts";
import { openCrowd } from "./crowd_stage.ts";
import { digits, within } from "./figures.ts";
import type { Ground } from "./ground.ts";
import { took, until } from "./time.ts";

/** Pushes that have left when the engine is closed. */
const PUSHED = 100;

/** The engine is closed in the middle of a burst. */
export async function measureClose(ground: Ground): Promise<void> {
  const { plan: { burst: { beforeClose, closeMs, goOnMs } }, report } = ground;
  const { engine, push } = await openCrowd(ground);
  const publish = async (): Promise<number> => {
    return (await engine.publish({ to: "*", channel: CHANNEL, content: "news" })).position!.offset;
  };
  for (let done = 0; done < beforeClose; done++) await publish();
  if (!await until(goOnMs, () => push.asked >= PUSHED)) report(`${PUSHED} pushes before it is closed`, `${push.asked} only`);
  const closed = await took(closeMs, () => engine.close());
  report(`close() in the middle of ${beforeClose} messages, ms`, within(closed, closeMs));
  report("  pushes that had left by its end", digits(push.asked));
}

/** The next engine on the same file, in a process of its own. */
export async function measureNextStart(ground: Ground): Promise<void> {
  const { plan: { burst: { goOnMs } }, report } = ground;
  const started = performance.now();
  const { crowd } = await openCrowd(ground);
  report("the next start: until it takes connections, ms", digits(performance.now() - started));
  await until(goOnMs, () => crowd.firstAt !== undefined);
  report("the next start goes on: its first push after, ms", within(crowd.firstAt && crowd.firstAt - started, goOnMs));
}
