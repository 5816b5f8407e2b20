import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "@nats-io/transport-node";
import { jetstream } from "../../adapters/jetstream/jetstream.ts";
import { createEngine } from "../../mod.ts";
import { systemClock, systemLogger, systemRandom } from "../../src/system.ts";
import { answerCommands } from "../fan_out/commands.ts";

// A node with nobody on it.

/** The storage alone, which only tails, or a whole engine, which takes its share of the sweep as well. */
export type Idle = "storage" | "engine";

const QUIET_MS = 500;
/** Heartbeats and the like in that time. */
const QUIET_MESSAGES = 20;

const [url, idle] = process.argv.slice(2) as [string, Idle];
const connection = await connect({ servers: url });
const storage = jetstream({ connection, name: "bench" });
if (idle === "engine") await createEngine({ insecure: true, storage });
else await storage.open({ clock: systemClock(), logger: systemLogger(), random: systemRandom() });

answerCommands({ cpuMicros, reached });

function cpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** CPU time when so many entries have come in, and nothing follows. */
async function reached({ entries }: { entries: number }): Promise<number> {
  for (let before = -Infinity;;) {
    const { inMsgs } = connection.stats();
    if (inMsgs >= entries && inMsgs - before < QUIET_MESSAGES) return cpuMicros();
    before = inMsgs;
    await sleep(QUIET_MS);
  }
}
