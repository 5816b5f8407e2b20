import process from "node:process";
import { encodePayload } from "../../src/protocol/codec.ts";
import type { Asked } from "./device.ts";
import { Device } from "./device.ts";
import { digits } from "./figures.ts";
import { fileStorage, type Ground, startEngine } from "./ground.ts";

/** Requests of one device under way at a time: what a client may have unanswered, and what the server's lock-step would be without. */
const WINDOW = 16;

/** Clients publish to themselves, and join and leave a room, each in a line and outside of all: what does a request cost? */
export async function measureRequests(ground: Ground): Promise<void> {
  const { plan: { requests: { clients, each } }, report, say } = ground;
  const engine = await startEngine({ storage: fileStorage(ground, "requests"), limits: { publishesPerSecond: 1e9 } });
  const devices: Device[] = [];
  for (let index = 0; index < clients; index++) devices.push(await Device.signIn(engine, { userId: `client ${index}` }));
  const payload = encodePayload("a few words", { n: 1 });
  let ids = 0;
  const publish = (client: number): Asked => ({
    type: "publish",
    topic: `client ${client}/default`,
    id: `${ids++}`,
    options: null,
    payload,
  });
  const join: Asked = { type: "subscribe", topic: "*/room", since: null, anew: false };
  const leave: Asked = { type: "unsubscribe", topic: "*/room" };
  for (
    const [name, count, window, asked] of [
      ["publish", each, WINDOW, publish],
      ["subscribe, or unsubscribe", each / 10, 1, (_: number, number: number) => number % 2 === 0 ? join : leave],
    ] as const
  ) {
    for (const where of ["outside of lines", "in a line"] as const) {
      say(`${clients * count} times ${name}, ${where}`);
      const before = process.cpuUsage();
      await Promise.all(devices.flatMap((device, client) => {
        let number = 0;
        return Array.from({ length: window }, async () => {
          while (number < count) {
            const at = number++;
            await device.ask(
              asked(client, at),
              where === "in a line"
                ? { id: `${name} of ${client}`, number: at + 1, ageMs: 0, user: `client ${client}` }
                : undefined,
            );
          }
        });
      }));
      const { system, user } = process.cpuUsage(before);
      report(`${name}, ${where}: CPU, µs`, digits((system + user) / (clients * count)));
    }
  }
  await engine.close();
}
