import { judgeDelivery } from "./delivery.ts";
import type { Device } from "./device.ts";
import { type EventName, eventsOf, happen } from "./events.ts";
import { type Finding, judge, type Verdict } from "./judge.ts";
import { createWholeClock, Stage } from "./node.ts";
import type { Line } from "./trace.ts";

/** What a walk came to. */
export interface Walk {
  readonly seed: number;
  readonly events: number;
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
export async function walk(seed: number, events: number): Promise<Walk> {
  const clock = createWholeClock();
  const stage = new Stage(clock, seed);
  const { random, trace } = stage;
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random.fraction() * values.length)]!;
  const names = eventsOf(seed);
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

  for (let event = 0; event < events; event++) {
    // An app that is opened registers its token.
    for (const device of devices) {
      if (device.isWelcome && device.token === undefined && hasTarget(device)) device.register(`${device.id} token`);
    }
    const name: EventName = pick(names);
    await happen(name, { stage, pick, device: pick(devices), devices, number: event });
    if (stage.node === undefined && random.fraction() < 0.5) await stage.start();
  }

  stage.setMode("well");
  stage.store.failing.clear();
  stage.store.step = () => {};
  if (stage.node === undefined) await stage.start();
  await clock.advance(HEAL_MS);
  const verdict = judge(trace.lines, clock.elapsed());

  // Everybody comes back, with handlers that work.
  for (const device of devices) {
    device.habit.handlerMs = 0;
    device.habit.fails = false;
    if (device.isSignedIn) device.open(stage.node!, true);
  }
  await clock.advance(10_000);
  const faults = judgeDelivery(trace.lines, devices, clock.elapsed());
  const { connections, sessions } = stage.node!.engine.counters();
  const open = devices.filter(({ isOpen }) => isOpen).length;
  if (connections !== open || sessions !== open) faults.push(`${open} devices, ${connections} connections, ${sessions} sessions`);
  await stage.close();
  for (const device of devices) device.close("lost");
  await stage.store.close();
  if (clock.timers > 0) faults.push(`${clock.timers} timers are left`);
  return {
    seed,
    events,
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
    const shorter = await walk(wrong.seed, middle);
    if (isWrong(shorter)) {
      best = shorter;
      high = middle;
    } else low = middle;
  }
  return best;
}

/** What a person needs to go on from: the command, and the first thing that went wrong. */
export function report({ seed, events, findings, faults, notes }: Walk): string {
  const [first] = findings;
  const head = `seed ${seed}: npm run walk -- --seed ${seed} --events ${events}`;
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
