import type { OpenStorage } from "../../src/ports/storage.ts";
import { publish, topicOf } from "./logs.ts";
import type { Plan, Report } from "./plan.ts";
import type { Stage } from "./stage.ts";
import { person } from "./state.ts";
import { perSecond } from "./timing.ts";

/** How many more are kept after a restart: what is read back only when it is needed is needed then. */
const MORE = 200;

interface Kind {
  what: string;
  count: number;
  options: NonNullable<Parameters<Stage["open"]>[0]>;
  keep(storage: OpenStorage, index: number): Promise<unknown>;
}

/**
 * What a server keeps in memory for each thing: when many have just come in at full speed, with what it has not let go of yet; and
 * restarted, which is the least. Everything stays, so each kind is measured on top of those before.
 */
export async function measureMemory(stage: Stage, { kept }: Plan, report: Report): Promise<void> {
  const entry: Pick<Kind, "count" | "keep"> = {
    count: kept.entries,
    keep: (storage, index) => publish(storage, topicOf(index), index),
  };
  const forgetting = { name: "forgetting", retention: { idempotencyMs: 100 } };
  const kinds: Kind[] = [
    { what: "an entry whose id is forgotten", options: forgetting, ...entry },
    { what: "an entry whose id is remembered", options: {}, ...entry },
    {
      ...{ what: "a user", options: {}, count: kept.users[stage.replicas] },
      keep: ({ users }, index) => users.put(person(index), "both"),
    },
  ];
  async function keep({ options, keep }: Kind, from: number, count: number): Promise<void> {
    const storage = await stage.open(options);
    await perSecond(count, (index) => keep(storage, from + index));
    await storage.close();
  }
  // What the server itself grows by as it works is no part of the first kind.
  await keep(kinds[0]!, 0, MORE);
  let before = await stage.rss();
  for (const kind of kinds) {
    const { what, count } = kind;
    await keep(kind, MORE, count);
    report(`memory for ${what}`, "B", (await stage.rss() - before) / count);
    await stage.restart();
    await keep(kind, MORE + count, MORE);
    const after = await stage.rss();
    report(`memory for ${what}, after a restart`, "B", (after - before) / count);
    before = after;
  }
}
