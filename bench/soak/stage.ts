import type { EngineChild } from "./engine_child.ts";
import type { PushService } from "./push_service.ts";

/** What all people of the soak share. */
export interface Stage {
  readonly engine: EngineChild;
  readonly push: PushService;
  /** What must not happen. */
  complain(fault: string): void;
  /** That name was never there before. */
  fresh(what: string): string;
}

/** Between two numbers. */
export function between([from, to]: readonly [number, number]): number {
  return from + Math.random() * (to - from);
}

export function oneOf<Value>(values: readonly Value[]): Value {
  return values[Math.floor(Math.random() * values.length)]!;
}
