import { boundsAlone } from "./alone.ts";
import { type EventName, eventsOf, USUAL, type Way } from "./chances.ts";
import { judgeDelivery } from "./delivery.ts";
import type { Device } from "./device.ts";
import { happen } from "./events.ts";
import { judgeFair } from "./fair.ts";
import { IdleUser } from "./idle.ts";
import { type Finding, judge, type Verdict } from "./judge.ts";
import { Load } from "./load.ts";
import { Stage } from "./node.ts";
import type { Line } from "./trace.ts";
import { createWholeClock } from "./whole_clock.ts";

/** What a walk came to. */
export interface Walk {
  readonly seed: number;
  readonly events: number;
  readonly way: Way;
  readonly lines: readonly Line[];
  readonly findings: readonly Finding[];
  /** What is wrong with what arrived, or was left behind. */
  readonly faults: readonly string[];
  readonly verdict: Verdict;
  readonly notes: Stage["notes"];
  readonly logged: readonly string[];
}

/** Virtual time for everything that waits: grace, retries, coalescing, leases. */
const HEAL_MS = 300_000;

/** People, their devices, one node and a provider, through whatever happens to them; the same seed goes the same way. */
export async function walk(seed: number, events: number, way: Way = USUAL): Promise<Walk> {
  const clock = createWholeClock();
  const stage = new Stage(clock, seed);
  const { random, trace } = stage;
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random.fraction() * values.length)]!;
  const names = eventsOf(seed, way);
  const devices: Device[] = [
    stage.device("sara", "sara's phone"),
    stage.device("sara", "sara's laptop"),
    stage.device("sara", "sara's wall"),
    stage.device("reza", "reza's phone"),
    stage.device("reza", "reza's laptop"),
    stage.device("mina", "mina's phone"),
  ];
  await stage.start();
  for (const user of ["sara", "reza", "mina"]) stage.call("subscribe", user, "news");
  stage.call("subscribe", "sara", "room");
  stage.call("subscribe", "reza", "room");
  await clock.advance(100);
  for (const device of devices) device.open(stage.node!, true);
  await clock.advance(100);

  const idle = way.load ? new IdleUser(stage) : undefined;
  const load = idle && new Load(stage, idle);
  const steady = [...idle === undefined ? [] : [idle], ...load === undefined ? [] : [load.dara]];
  await idle?.begin();
  await load?.begin();

  for (let event = 0; event < events; event++) {
    // An app that is opened registers its token.
    for (const device of devices) {
      if (device.isWelcome && device.token === undefined && hasTarget(device)) device.register(`${device.id} token`);
    }
    for (const user of steady) user.keep();
    const name: EventName = pick(names);
    await happen(name, { stage, pick, device: pick(devices), devices, number: event, load, idle });
    if (stage.node === undefined && random.fraction() < 0.5) await stage.start();
  }

  stage.setMode("well");
  stage.store.failing.clear();
  stage.store.step = () => {};
  if (stage.node === undefined) await stage.start();
  await clock.advance(HEAL_MS);
  const verdict = judge(trace.lines, clock.elapsed());
  if (way.load) verdict.findings.push(...judgeFair(trace.lines, await boundsAlone(), clock.elapsed()));
  verdict.findings.sort((a, b) => a.at - b.at);

  // Everybody comes back, with handlers that work.
  const all = stage.devices;
  for (const device of all) {
    device.habit.handlerMs = 0;
    device.habit.fails = false;
    if (device.isSignedIn) device.open(stage.node!, true);
  }
  await clock.advance(10_000);
  const faults = judgeDelivery(trace.lines, all, clock.elapsed());
  const { connections, sessions } = stage.node!.engine.counters();
  const open = all.filter(({ isOpen }) => isOpen).length;
  if (connections !== open || sessions !== open) faults.push(`${open} devices, ${connections} connections, ${sessions} sessions`);
  await stage.close();
  for (const device of all) device.close("lost");
  await stage.store.close();
  if (clock.spunAt !== undefined) faults.push(`the engine sets timer after timer without a wait at ${clock.spunAt}`);
  if (clock.timers > 0) faults.push(`${clock.timers} timers are left`);
  return {
    seed,
    events,
    way,
    lines: trace.lines,
    findings: verdict.findings,
    faults,
    verdict,
    notes: stage.notes,
    logged: stage.logged,
  };
}

export function isWrong({ findings, faults }: Walk): boolean {
  return findings.length > 0 || faults.length > 0;
}

/** The same seed with as few events as still go wrong, found by halving: cheap, not the least. */
export async function shrink(wrong: Walk): Promise<Walk> {
  let best = wrong;
  for (let low = 0, high = wrong.events; high - low > 4;) {
    const middle = (low + high) >> 1;
    const shorter = await walk(wrong.seed, middle, wrong.way);
    if (isWrong(shorter)) {
      best = shorter;
      high = middle;
    } else low = middle;
  }
  return best;
}

/** What a person needs to go on from: the command, and the first thing that went wrong. */
export function report({ seed, events, findings, faults, notes, way }: Walk): string {
  const [first] = findings;
  const head = `seed ${seed}: npm run walk -- --seed ${seed} --events ${events}${way.load ? " --load" : ""}`;
  if (first === undefined) return [head, ...faults.slice(0, 5)].join("\n");
  const { rule, user, device, message, at, text, story } = first;
  const rest = findings.length + faults.length - 1;
  return [
    head,
    `${rule} ${message} for ${device} at ${at}: ${text}${rest === 0 ? "" : ` (and ${rest} more)`}`,
    ...story,
    ...engineSays(user, message, notes),
  ]
    .join("\n");
}

/** Why the engine says that it did what it did: where to begin looking. */
function engineSays(user: string, message: string, notes: Walk["notes"]): string[] {
  const about = notes.filter(({ id, userId, kind }) => id === message && userId === user && kind !== "seen" && kind !== "acked");
  return about.map(({ elapsed, kind, detail, device }) => `   engine ${elapsed} ${kind} ${detail ?? ""} (${device})`);
}

/** Names a trace: the same seed must give the same one on every runtime. */
export function hashOf(lines: readonly Line[]): string {
  let hash = 0x811c9dc5;
  const text = JSON.stringify(lines, (_, value) => value instanceof Uint8Array ? [...value] : value);
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return (hash >>> 0).toString(16);
}

function hasTarget({ id }: Device): boolean {
  return id !== "sara's wall" && id !== "reza's laptop";
}
