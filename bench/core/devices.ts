import process from "node:process";
import { digits } from "./figures.ts";
import { fileStorage, type Ground, startRoomyEngine } from "./ground.ts";
import { fill } from "./people.ts";
import { PushService } from "./push_service.ts";
import { until } from "./time.ts";
import { Watch, watched } from "./watched.ts";

/** Devices that can be pushed to; all others have no target. */
const REACHABLE = 6;
const LIMIT_MS = 20_000;

interface Cost {
  messages: number;
  /** Milliseconds. */
  cpu: number;
  puts: number;
}

/** What does a private message cost, by the devices that its reader has? */
export async function measureDevices(ground: Ground): Promise<void> {
  const { plan: { devices: { many, toFew, toMany } }, report, say } = ground;
  const few = await costOf(ground, REACHABLE, toFew);
  say(`${many} devices`);
  const most = await costOf(ground, many, toMany);
  for (const [devices, { cpu, messages, puts }] of [[REACHABLE, few], [many, most]] as const) {
    const who = `a message to ${devices} away devices, ${REACHABLE} with a target`;
    const missing = messages === 0 ? `none in ${digits(LIMIT_MS)} ms` : undefined;
    report(`${who}: CPU, ms`, missing ?? digits(cpu));
    report(`${who}: writes of the record`, missing ?? digits(puts), { before: `2d-1 = ${digits(2 * devices - 1)}` });
  }
  if (most.messages > 0) report("  ratio of the CPU", digits(most.cpu / few.cpu), { target: "≤ 3" });
}

async function costOf(ground: Ground, devices: number, count: number): Promise<Cost> {
  const userId = "sara";
  const file = fileStorage(ground, `devices ${devices}`);
  const names = Array.from({ length: devices }, (_, index) => `device ${index}`);
  await fill(file, 1, () => ({ userId, devices: names, reachable: REACHABLE }));
  const [push, watch] = [new PushService(), new Watch()];
  const engine = await startRoomyEngine({ storage: watched(file, watch), push: [push] }, 1_000);
  let sent = 0;
  /** One message, until all pushes are settled and nothing is left to be decided. */
  async function message(): Promise<boolean> {
    // Of a normal urgency only a few a minute would leave.
    const { position, topic } = await engine.publish({ to: userId, content: "hi", urgency: "high" });
    sent += REACHABLE;
    return await until(LIMIT_MS, () => {
      return engine.counters().pushesSent >= sent && (watch.swept.get(topic) ?? 0) >= position!.offset;
    });
  }
  for (let warming = 0; warming < Math.ceil(count / 5); warming++) await message();
  const before = { cpu: process.cpuUsage(), puts: watch.puts };
  let messages = 0;
  while (messages < count && await message()) messages++;
  const { system, user } = process.cpuUsage(before.cpu);
  const puts = watch.puts - before.puts;
  await engine.close();
  return { messages, cpu: (system + user) / 1_000 / messages, puts: puts / messages };
}
