import { digits } from "../core/figures.ts";
import { startOnNode } from "../fan_out/child.ts";
import type { Pushed } from "./engine_process.ts";
import type { Ground } from "./ground.ts";
import type { Plan } from "./plan.ts";
import type { Counts } from "./service_process.ts";
import type { Line } from "./table.ts";

const FILE = new URL("engine_process.ts", import.meta.url);

/** One public message to many who are away, through APNs whose servers send their connections away again and again. */
export async function measureGoaway(ground: Ground, { goaway: { every, users }, limitMs }: Plan): Promise<Line[]> {
  const engine = startOnNode("the engine", FILE);
  await ground.service.ask("goaway", { every });
  await ground.service.ask("counts");
  const pushed = await engine.ask<Pushed>("goaway", { users, limitMs, setting: ground.setting() });
  const counts = await ground.service.ask<Counts>("counts");
  await ground.service.ask("goaway", { every: 0 });
  await engine.stop();
  return [
    { scenario: "goaway", measured: "GOAWAYs with streams open", value: String(counts.goaways) },
    { scenario: "goaway", measured: "pushes taken, of so many", value: `${digits(pushed.sent)} of ${digits(users)}` },
    { scenario: "goaway", measured: "lost", value: digits(users - counts.recipients), target: "0" },
    { scenario: "goaway", measured: "doubled without the same id", value: digits(counts.doubled), target: "0" },
    { scenario: "goaway", measured: "sent again under the same id", value: digits(counts.repeated) },
    { scenario: "goaway", measured: "tried again by the engine", value: digits(pushed.retried) },
    {
      scenario: "goaway",
      measured: "pushes a second, decision and row on sqlite included",
      value: digits(pushed.sent / pushed.ms * 1_000),
    },
  ];
}

/** A private message for each of many who are away: the decision and the row, without what a provider does. */
export async function measureDecision({ decision, limitMs }: Plan): Promise<Line[]> {
  const engine = startOnNode("the engine", FILE);
  const { cpuUs, ms, sent } = await engine.ask<Pushed>("decision", { ...decision, limitMs });
  await engine.stop();
  return [
    { scenario: "decision", measured: "pushes taken, of so many", value: `${digits(sent)} of ${digits(decision.users)}` },
    {
      scenario: "decision",
      measured: "CPU for a message, its decision, its row on sqlite and its end, µs",
      value: digits(cpuUs),
    },
    { scenario: "decision", measured: "messages a second until they are pushed", value: digits(sent / ms * 1_000) },
  ];
}
