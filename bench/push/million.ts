import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FULL, QUICK } from "../core/plan.ts";
import { runStep } from "../core/run_step.ts";
import type { Line } from "./table.ts";

/** One public message to a million who are away: a scenario of bench:core, in two steps that share a file. */
export async function measureMillion(isQuick: boolean): Promise<Line[]> {
  const folder = mkdtempSync(join(tmpdir(), "peyk-bench-push-"));
  const lines: Line[] = [];
  try {
    for (const step of ["fill", "measure"]) {
      const { limitMs } = (isQuick ? QUICK : FULL).million;
      const fault = await runStep(["million", step, isQuick ? "quick" : "full", folder], limitMs, (line) => lines.push(line));
      if (fault !== undefined) lines.push({ scenario: "million", measured: `the step "${step}"`, value: fault });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return lines;
}
