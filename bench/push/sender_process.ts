import process from "node:process";
import { answerCommands } from "../fan_out/commands.ts";
import { type Send, type SendMany, type Setting, UNDER_WAY } from "./contenders/contender.ts";
import { CONTENDERS } from "./contenders/contenders.ts";

// A process that sends pushes in one way, and measures what they cost it.

/** What a number of pushes took. */
export interface Taken {
  ms: number;
  /** CPU of the whole process, microseconds. */
  cpuUs: number;
}

let sendMany: SendMany;
let next = 0;

/** Pushes one by one, with so many under way. */
function inTurns(send: Send): SendMany {
  return async (from, to) => {
    let index = from;
    await Promise.all(Array.from({ length: UNDER_WAY }, async () => {
      while (index < to) await send(index++);
    }));
  };
}

answerCommands({
  start: async ({ service, contender, setting }: { service: string; contender: string; setting: Setting }) => {
    const way = await CONTENDERS[service]![contender]!(setting);
    sendMany = "send" in way ? inTurns(way.send) : way.sendMany;
  },
  send: async ({ count }: { count: number }): Promise<Taken> => {
    const [started, cpu] = [performance.now(), process.cpuUsage()];
    await sendMany(next, next += count);
    const { system, user } = process.cpuUsage(cpu);
    return { ms: performance.now() - started, cpuUs: system + user };
  },
});
