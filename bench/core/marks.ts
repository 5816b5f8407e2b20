import process from "node:process";
import { Device } from "./device.ts";
import { digits } from "./figures.ts";
import { fileStorage, type Ground, startEngine } from "./ground.ts";
import { fill } from "./people.ts";
import { PushService } from "./push_service.ts";
import { until } from "./time.ts";

const CHANNEL = "room";
const LIMIT_MS = 60_000;
/** Who signs in, and who marks, at a time. */
const WIDTH = 100;

/** Everybody in a room was pushed a message; now each opens the app and marks it: what does that cost? */
export async function measureMarks(ground: Ground): Promise<void> {
  const { plan: { marks: { members } }, report, say } = ground;
  const file = fileStorage(ground, "marks");
  const nameOf = (index: number): string => `member ${index}`;
  await fill(file, members, (index) => ({ userId: nameOf(index), channels: [CHANNEL] }));
  const engine = await startEngine({ storage: file, push: [new PushService()] });
  const { topic, position } = await engine.publish({ to: "*", channel: CHANNEL, content: "news" });
  if (!await until(LIMIT_MS, () => engine.counters().pushesSent >= members)) report("pushes before that", "not all");
  say(`${members} members sign in`);
  const devices: Device[] = [];
  await each(members, async (index) => void devices.push(await Device.signIn(engine, { userId: nameOf(index) })));
  await until(LIMIT_MS, () => engine.counters().acked >= members);
  for (const kind of ["read", "dismissed"] as const) {
    const before = process.cpuUsage();
    await each(members, (index) => devices[index]!.mark(kind, { topic, ...position! }));
    const { system, user } = process.cpuUsage(before);
    const target = kind === "read" ? { target: `≤ ${digits(members / 3_000)}`, before: "15 for 1,500" } : {};
    report(`${digits(members)} marks "${kind}" in a room: CPU, s`, digits((system + user) / 1e6), target);
  }
  await engine.close();
}

async function each(count: number, task: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: WIDTH }, async () => {
    while (next < count) await task(next++);
  }));
}
