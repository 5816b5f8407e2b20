import { digits } from "./figures.ts";
import { fileStorage, type Ground, startRoomyEngine } from "./ground.ts";
import { NUISANCES } from "./nuisances.ts";
import { fill } from "./people.ts";
import { Neighbours, PROBES } from "./probes.ts";
import { PushService } from "./push_service.ts";
import { quantileOf } from "./time.ts";
import { Watch, watched } from "./watched.ts";

/** Devices of one user in the largest case. */
const DEVICES = 10_000;

/** What do others notice of one who misbehaves in this way? The same is tried before on the same engine, while nobody does. */
export async function measureNeighbours(name: string, ground: Ground): Promise<void> {
  const { plan, report, say } = ground;
  const { begin, come, commitMs, people, policy, what } = NUISANCES[name]!;
  const { busyMs, calmMs, waitMs } = plan.neighbours;
  say(what);
  const persons = people(plan);
  const plain = fileStorage(ground, name);
  await fill(plain, persons.length, (index) => persons[index]!);
  await Neighbours.settle(plain);
  const [push, watch] = [new PushService(), new Watch()];
  const engine = await startRoomyEngine({
    storage: watched(fileStorage(ground, name, commitMs), watch),
    push: [push, new PushService({ name: "silent", answerMs: Infinity })],
    policy: policy?.(plan) ?? {},
  }, DEVICES);
  const neighbours = await Neighbours.come(engine, push);
  await come?.(engine);

  await neighbours.try(calmMs / 2, waitMs);
  const calm = await neighbours.try(calmMs, waitMs);
  const end = begin({ engine, plan, watch });
  const busy = await neighbours.try(busyMs, waitMs);
  end();
  for (const probe of PROBES) {
    const [before, during] = [calm, busy].map(({ [probe]: { took } }) => [0.5, 0.99].map((q) => quantileOf(took, q))) as [
      [number, number],
      [number, number],
    ];
    const { endless, took } = busy[probe];
    const more = during[1] - before[1];
    report(
      `${name}, ${probe}: p50 / p99, ms`,
      during.map(digits).join(" / ") + (endless === 0 ? "" : `, ${endless} of ${took.length} without an end`),
      {
        calm: before.map(digits).join(" / "),
        target: `p99 +50 at most: ${more <= 50 ? "met" : "missed"}, ${more < 0 ? "" : "+"}${digits(more)}`,
        bar: { panel: probe, name, calm: before[1], value: during[1] },
      },
    );
  }
}
