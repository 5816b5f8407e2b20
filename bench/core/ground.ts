import { join } from "node:path";
import { sqliteWith } from "../../adapters/sqlite/sqlite_with.ts";
import { createEngine, type Engine, type EngineOptions, PeykError, type Storage } from "../../mod.ts";
import type { Report } from "./figures.ts";
import { quiet } from "./people.ts";
import type { Plan } from "./plan.ts";

/** What a step of the benchmark runs on, in a process of its own. */
export interface Ground {
  readonly plan: Plan;
  /** Of this run; the next steps find there what this one leaves. */
  readonly folder: string;
  /** The server that the storage is on; undefined: it is a sqlite file. */
  readonly nats: string | undefined;
  readonly report: Report;
  /** Tells on standard error what is going on. */
  say(text: string): void;
}

/** The file of that name, on a disk whose commits take so much longer. */
export function fileStorage({ folder }: Ground, name: string, commitDelayMs = 0): Storage {
  return sqliteWith(join(folder, `${name}.db`), {}, { commitDelayMs });
}

export function startEngine(options: EngineOptions): Promise<Engine> {
  return createEngine({ insecure: true, logger: quiet, ...options });
}

/** The same for users with more devices than an engine may admit by default. */
export async function startRoomyEngine(options: EngineOptions, devices: number): Promise<Engine> {
  try {
    return await startEngine({ ...options, limits: { ...options.limits, devices } as EngineOptions["limits"] & object });
  } catch (error) {
    // An engine that knows no such limit may say so.
    if (!(error instanceof PeykError) || error.code !== "bad-config") throw error;
    return await startEngine(options);
  }
}
