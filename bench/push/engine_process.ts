import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { sqlite } from "../../adapters/sqlite/sqlite.ts";
import { createEngine, type Engine, type PushProvider } from "../../mod.ts";
import { fill, quiet } from "../core/people.ts";
import { until } from "../core/time.ts";
import { answerCommands } from "../fan_out/commands.ts";
import { apnsToken, BODY, type Setting, TITLE } from "./contenders/contender.ts";
import { apnsProvider, APP } from "./contenders/peyk.ts";

// A process with an engine on a sqlite file whose users are all away. Measures what becomes of a message for each of them.

const CHANNEL = "news";

/** What a message for each user took. */
export interface Pushed {
  sent: number;
  retried: number;
  ms: number;
  /** CPU of the whole process for each push, microseconds. */
  cpuUs: number;
}

interface Options {
  users: number;
  limitMs: number;
}

answerCommands({
  /** One public message, through the APNs provider. */
  goaway: ({ setting, ...options }: Options & { setting: Setting }): Promise<Pushed> =>
    measure(apnsProvider(setting), options, async (engine) => {
      await engine.publish({ to: "*", channel: CHANNEL, notification: { title: TITLE, body: BODY } });
    }),
  /** A private message for each, through a provider that takes everything at once: what is left is the decision, the row and its end. */
  decision: ({ apart, users, limitMs }: Options & { apart: number }): Promise<Pushed> => {
    const provider: PushProvider = { name: "apns", send: () => Promise.resolve({ verdict: "sent" }) };
    return measure(provider, { users, limitMs }, async (engine) => {
      for (let first = 0; first < users; first += apart) {
        const together = Array.from({ length: Math.min(apart, users - first) }, (_, i) => nameOf(first + i));
        await Promise.all(together.map((to) => engine.publish({ to, notification: { title: TITLE, body: BODY } })));
      }
    });
  },
});

async function measure(
  provider: PushProvider,
  { limitMs, users }: Options,
  publish: (engine: Engine) => Promise<void>,
): Promise<Pushed> {
  const folder = mkdtempSync(join(tmpdir(), "peyk-bench-push-"));
  try {
    const storage = sqlite(join(folder, "users.db"));
    await fill(storage, users, (index) => ({
      userId: nameOf(index),
      provider: "apns",
      target: { token: apnsToken(index), app: APP },
      channels: [CHANNEL],
    }));
    const engine = await createEngine({ insecure: true, logger: quiet, storage, push: [provider] });
    const [started, cpu] = [performance.now(), process.cpuUsage()];
    await publish(engine);
    await until(limitMs, () => engine.counters().pushesSent >= users, 5);
    const ms = performance.now() - started;
    const { system, user } = process.cpuUsage(cpu);
    const { pushesRetried: retried, pushesSent: sent } = engine.counters();
    await engine.close();
    return { sent, retried, ms, cpuUs: (system + user) / sent };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function nameOf(index: number): string {
  return `user ${index}`;
}
