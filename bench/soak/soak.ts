import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { sleep, until } from "../core/time.ts";
import { EngineChild, type Memory } from "./engine_child.ts";
import { Load } from "./load.ts";
import { END_MS, POINT_MS, SETTLING_MS, SETTLING_SHARE } from "./plan.ts";
import { PushService } from "./push_service.ts";
import { Residents } from "./residents.ts";
import type { Point } from "./results.ts";
import { Rows } from "./rows.ts";
import type { Stage } from "./stage.ts";

export interface SoakOptions {
  minutes: number;
  /** Of sqlite; undefined: storage in memory. */
  file: string | undefined;
  /** Bytes that are kept for each request on purpose. */
  leak: number;
  /** Where heap snapshots are written: when the engine has settled, and at the end. */
  snapshots: string | undefined;
  /** Told at each point what is going on. */
  said(text: string): void;
}

/** What a soak has shown. */
export interface Results {
  points: readonly Point[];
  /** When everybody had what was theirs, or the wait for it was over. */
  end: Memory;
  /** What must not happen: what devices and pushes did not get, what clients ran into, errors in the engine's log. */
  faults: readonly string[];
  warnings: readonly string[];
}

/** People come and go for so long, and then until everybody has what is theirs. */
export async function soak({ minutes, file, leak, snapshots, said }: SoakOptions): Promise<Results> {
  const push = await PushService.start();
  const engine = await EngineChild.start({ file, leak, push: { url: push.url, secret: push.secret } });
  const complaints: string[] = [];
  let names = 0;
  const stage: Stage = {
    ...{ engine, push },
    complain: (fault) => void complaints.push(fault),
    fresh: (what) => `${what} ${names++}`,
  };
  const residents = await Residents.moveIn(stage);
  const load = new Load(stage, residents);
  const rows = file === undefined ? undefined : new Rows(file);
  if (snapshots !== undefined) mkdirSync(snapshots, { recursive: true });
  const settlingMs = Math.min(SETTLING_MS, minutes * 60_000 * SETTLING_SHARE);
  const points: Point[] = [];
  const started = performance.now();
  load.begin();
  for (let index = 1; index * POINT_MS <= minutes * 60_000; index++) {
    await sleep(started + index * POINT_MS - performance.now());
    points.push({ ...await engine.memory(), seconds: (performance.now() - started) / 1_000, rows: rows?.count() });
    said(textOf(points.at(-1)!));
    // The one that is behind the settling.
    const isSettled = Math.ceil(settlingMs / POINT_MS) === index;
    if (isSettled && snapshots !== undefined) await engine.snapshot(join(snapshots, "settled.heapsnapshot"));
  }
  if (snapshots !== undefined) await engine.snapshot(join(snapshots, "end.heapsnapshot"));
  await load.end();
  const faultsOf = (): string[] => [...residents.faults, ...push.missing.map((missing) => `no push of ${missing}`)];
  await until(END_MS, async () => faultsOf().length === 0 && waitingOf(await engine.memory()) === 0, 250);
  const end = await engine.memory();
  const faults = [...complaints, ...faultsOf()];
  await residents.moveOut();
  rows?.close();
  await engine.close();
  await push.close();
  return { points, end, faults: [...faults, ...engine.errors.map((line) => `the log: ${line}`)], warnings: engine.warnings };
}

/** Pushes that have no end yet. */
export function waitingOf({ counters }: Memory): number {
  const { pushesDropped, pushesExpired, pushesGone, pushesMerged, pushesQueued, pushesRejected, pushesSent } = counters;
  return pushesQueued - pushesDropped - pushesExpired - pushesGone - pushesMerged - pushesRejected - pushesSent;
}

function textOf({ counters, heap }: Point): string {
  return `${counters.connections} connections, ${counters.delivered} deliveries, heap ${(heap / 2 ** 20).toFixed(1)} MB`;
}
