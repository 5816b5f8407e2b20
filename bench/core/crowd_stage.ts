import { join } from "node:path";
import type { Engine, Storage } from "../../mod.ts";
import { Crowd } from "./crowd.ts";
import { digits } from "./figures.ts";
import { fileStorage, type Ground, startEngine } from "./ground.ts";
import { fill } from "./people.ts";
import { PushService } from "./push_service.ts";

const ANSWER_MS = 5;
const FILE = "members";

/** A channel's members who are away, on sqlite or on NATS. */
export function membersOf({ nats, plan: { burst } }: Ground): number {
  return nats === undefined ? burst.members : burst.membersOnNats;
}

/** The sqlite file, if it is one. */
export function crowdFile({ folder, nats }: Ground): string | undefined {
  return nats === undefined ? join(folder, `${FILE}.db`) : undefined;
}

/** Writes the members into the storage, in a process that does nothing else. */
export async function fillMembers(ground: Ground): Promise<void> {
  const members = membersOf(ground);
  ground.say(`${digits(members)} members`);
  await fill(await crowdStorage(ground), members, Crowd.person, (done) => ground.say(`${digits(done)} members`));
}

/** Members, an engine, and a push service. */
export async function openCrowd(ground: Ground): Promise<{ crowd: Crowd; engine: Engine; push: PushService }> {
  const [crowd, push] = [new Crowd(membersOf(ground)), new PushService({ answerMs: ANSWER_MS })];
  push.onAsked = (notification) => crowd.pushed(notification);
  return { crowd, push, engine: await startEngine({ storage: await crowdStorage(ground), push: [push] }) };
}

async function crowdStorage(ground: Ground): Promise<Storage> {
  if (ground.nats === undefined) return fileStorage(ground, FILE);
  const [{ connect }, { jetstream }] = await Promise.all([
    import("@nats-io/transport-node"),
    import("../../adapters/jetstream/jetstream.ts"),
  ]);
  return jetstream({ connection: await connect({ servers: ground.nats }), name: "bench", replicas: 1 });
}
