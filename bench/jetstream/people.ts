import { setTimeout as sleep } from "node:timers/promises";
import { createEngine, type Engine } from "../../mod.ts";
import type { ConnectionEvents } from "../../src/ports/connection.ts";
import { decodeServerFrames, encodeClientFrame } from "../../src/protocol/codec.ts";
import type { Plan, Report } from "./plan.ts";
import { quiet, type Stage } from "./stage.ts";
import { perSecond } from "./timing.ts";

/** People who come to a node and leave it, over connections that are no sockets; and a node where nothing happens. */
export async function measurePeople(stage: Stage, plan: Plan, report: Report): Promise<void> {
  const engine = await createEngine({ insecure: true, storage: await stage.storage(), logger: quiet });
  await sleep(plan.quietMs / 2);
  const before = process.cpuUsage();
  await sleep(plan.quietMs);
  const { user, system } = process.cpuUsage(before);
  report("a node that has nothing to do, CPU", "ms/s", (user + system) / plan.quietMs);

  const connections: ConnectionEvents[] = [];
  const come = async (index: number): Promise<void> => void (connections[index] = await connect(engine, `user ${index}`));
  async function leave(): Promise<number> {
    const started = performance.now();
    for (const connection of connections) connection.closed(1000);
    while (engine.counters().sessions > 0) await sleep(1);
    return plan.people / (performance.now() - started) * 1_000;
  }
  report("people who come for the first time", "/s", await perSecond(plan.people, come));
  report("people who leave, all at once", "/s", await leave());
  report("people who come back", "/s", await perSecond(plan.people, come));
  await leave();
  await engine.close();
}

/** From hello to welcome. */
function connect(engine: Engine, userId: string): Promise<ConnectionEvents> {
  return new Promise((resolve, reject) => {
    const connection = {
      bufferedAmount: 0,
      send: (bytes: Uint8Array) => {
        if (decodeServerFrames(bytes).some(({ type }) => type === "welcome")) resolve(events);
        return true;
      },
      close: (code: number) => reject(new Error(`the engine closed with ${code}`)),
    };
    const events = engine.accept(connection, { url: "/peyk", headers: new Headers(), remoteAddress: "127.0.0.1" });
    const hello = {
      version: 1,
      capabilities: [],
      deviceId: `device of ${userId}`,
      temporary: false,
      signedOut: [],
      visible: true,
      idleMs: null,
      cursors: [],
    };
    events.message(encodeClientFrame({ type: "hello", token: userId, more: false, ...hello }));
  });
}
