import type { Device } from "./device.ts";
import { judge } from "./judge.ts";
import { Stage } from "./node.ts";
import type { Laptop, Own, Phone, Scene } from "./outcomes.ts";
import type { Answered, Asked } from "./trace.ts";
import { createWholeClock } from "./whole_clock.ts";

/** When the message comes. */
const AT = 60_000;
/** A moment that is surely after everything that waits for two minutes. */
const END = AT + 240_000;
const SLOW_MS = 300;

/** What came of it: the requests for the message at one target, and what the judge has against that. */
export interface Played {
  readonly requests: readonly (Asked & { at: number; verdict: Answered["verdict"] | undefined })[];
  readonly findings: readonly string[];
  /** When somebody last touched the laptop. */
  readonly lastInput: number | null;
}

/** Who is at the laptop when the message comes: then pushes wait for what happens there. */
function isAttended(laptop: Laptop): boolean {
  return laptop !== "unattended" && laptop !== "background" && laptop !== "later";
}

/** Plays one cell of the table on an engine. */
export async function play(scene: Scene, laptop: Laptop, phone: Phone): Promise<Played> {
  const stage = new Stage(createWholeClock(), 1);
  const { clock } = stage;
  const devices = {
    phone: stage.device("sara", "phone"),
    laptop: stage.device("sara", "laptop"),
    // What another device has taken is where a new one begins.
    tablet: stage.device("sara", "tablet"),
  };
  const until = (at: number): Promise<void> => clock.advance(Math.max(0, at - clock.elapsed()));
  const [kind, moment] = scene.split(", ") as ["due" | "low" | "retry" | "restart", "at once" | "in time" | "too late"];
  const isLow = kind === "low";
  const lostAt = AT - (moment === "in time" && kind === "due" ? 12_000 : 1_000);
  const dueAt = due(phone, isLow, isAttended(laptop), lostAt);
  const actsAt = actTime(scene, laptop, dueAt);

  await stage.start();
  devices.phone.open(stage.node!, true);
  if (laptop === "later") devices.tablet.open(stage.node!, false);
  else devices.laptop.open(stage.node!, laptop !== "background");
  await clock.advance(100);
  devices.phone.register("phone token");
  const inputAt = laptop === "idles" || laptop === "returns"
    ? actsAt - 45_000
    : isAttended(laptop)
    ? Math.max(AT, actsAt - 10_000) - 1_000
    : undefined;
  if (inputAt !== undefined) clock.setTimeout(() => devices.laptop.input(), inputAt - clock.elapsed());
  // Somebody is there from the beginning, not only since the act.
  if (isAttended(laptop) && inputAt !== undefined && inputAt > AT) {
    clock.setTimeout(() => devices.laptop.input(), AT - 1_000 - clock.elapsed());
  }

  await leadPhone(devices.phone, phone, lostAt, until, stage);
  await until(AT);
  if (phone === "unseen" || phone === "suspect") devices.phone.habit.mute = true;
  devices.laptop.habit.handlerMs = moment === "at once" && laptop !== "nothing" && !isMark(laptop) ? 0 : Infinity;
  devices.laptop.habit.fails = laptop === "fails";
  if (moment === "too late") stage.setMode(kind === "restart" ? "hangs" : "slow");
  if (kind === "retry") {
    stage.restMs = 20_000;
    stage.setMode("rest");
  }
  const published = stage.node!.engine.publish({ to: "sara", id: "m", content: "m", ...isLow ? { urgency: "low" } : {} });
  const { position } = await stage.finish(published);

  // A line that died comes back before it is closed for good.
  if (isLow) clock.setTimeout(() => devices.phone.wake(), 10_000);
  if (kind === "restart" && moment !== "at once") {
    await restart(stage, devices.laptop, laptop, moment === "in time" ? AT + 1_000 : dueAt + 1_000, until);
  }
  if (actsAt > clock.elapsed()) await until(actsAt);
  stage.setMode(kind === "due" || kind === "low" ? stage.mode : "well");
  await act(stage, devices.laptop, laptop, { topic: "sara/default", id: "m", ...position! });
  if (laptop === "returns") clock.setTimeout(() => devices.laptop.input(), 10_000);
  if (kind === "restart" && moment === "at once") await restart(stage, devices.laptop, laptop, AT + 2_500, until);
  await until(END);
  return await finish(stage, "phone", devices.laptop.lastInput);
}

/** Plays one's own message. @returns what became of it at the sender's own target, and at the other device's */
export async function playOwn({ sender, to }: Own, other: Exclude<Phone, "live">): Promise<{ own: Played; other: Played }> {
  const stage = new Stage(createWholeClock(), 1);
  const { clock } = stage;
  const from = stage.device("sara", sender);
  const device = stage.device("sara", sender === "phone" ? "laptop" : "phone");
  const until = (at: number): Promise<void> => clock.advance(Math.max(0, at - clock.elapsed()));
  await stage.start();
  stage.call("subscribe", "sara", "room");
  from.open(stage.node!, true);
  device.open(stage.node!, true);
  await clock.advance(100);
  from.register(`${from.id} token`);
  device.register(`${device.id} token`);
  await leadPhone(device, other, AT - 1_000, until, stage);
  await until(AT);
  if (other === "unseen" || other === "suspect") device.habit.mute = true;
  from.publish(to === "yourself" ? "sara/default" : "*/room", "m", null);
  // It is gone before its own message can come back to it.
  from.close("clean");
  await until(END);
  const other_ = await finish(stage, device.id, null);
  return { own: outcome(stage, from.id, null), other: other_ };
}

/** When a push for a phone there is due. */
function due(phone: Phone, isLow: boolean, attended: boolean, lostAt: number): number {
  const decidedAt = phone === "unseen" ? AT + 3_000 : phone === "recent" ? lostAt + 15_000 : AT;
  if (isLow) return decidedAt + 60_000;
  return attended ? Math.max(decidedAt, AT + 5_000) : decidedAt;
}

function actTime(scene: Scene, laptop: Laptop, dueAt: number): number {
  switch (scene) {
    case "due, in time":
      return isAttended(laptop) ? AT + 4_000 : AT + 2_000;
    case "low, in time":
      return AT + 30_000;
    case "due, too late":
    case "low, too late":
      return dueAt + SLOW_MS;
    case "retry, in time":
      return dueAt + 5_000;
    case "restart, in time":
      return AT + 2_000;
    case "restart, too late":
      return dueAt + 2_000;
    default:
      return AT;
  }
}

/** Brings a phone to where it is to be, shortly before the message. */
async function leadPhone(
  device: Device,
  phone: Phone,
  lostAt: number,
  until: (at: number) => Promise<void>,
  stage: Stage,
): Promise<void> {
  switch (phone) {
    case "suspect":
      await until(AT - 10_000);
      device.habit.mute = true;
      await stage.finish(stage.node!.engine.publish({ to: "sara", id: "overdue", content: "overdue" }));
      return;
    case "backgrounded":
      await until(AT - 10_000);
      return device.show(false);
    case "recent":
      await until(lostAt);
      return device.close("lost");
    case "away":
      await until(AT - 10_000);
      return device.close("clean");
  }
}

async function restart(
  stage: Stage,
  device: Device,
  laptop: Laptop,
  at: number,
  until: (at: number) => Promise<void>,
): Promise<void> {
  await until(at);
  await stage.close();
  stage.setMode("well");
  await stage.start();
  if (laptop === "later" && !device.isSignedIn) return;
  await stage.clock.advance(500);
  device.open(stage.node!, laptop !== "background");
  await stage.clock.advance(100);
}

async function act(
  stage: Stage,
  device: Device,
  laptop: Laptop,
  entry: { topic: string; id: string; epoch: number; offset: number },
): Promise<void> {
  switch (laptop) {
    case "nothing":
      return;
    case "read":
    case "dismissed":
      return device.mark(laptop, entry);
    case "later":
      device.lastInput = stage.clock.elapsed();
      device.habit.handlerMs = 0;
      device.open(stage.node!, true);
      await stage.clock.advance(100);
      await stage.finish(stage.node!.engine.publish({ to: "sara", id: "next", content: "next" }));
      return;
    default:
      return device.release();
  }
}

function isMark(laptop: Laptop): boolean {
  return laptop === "read" || laptop === "dismissed";
}

async function finish(stage: Stage, device: string, lastInput: number | null): Promise<Played> {
  const played = outcome(stage, device, lastInput);
  await stage.close();
  for (const each of stage.devices) each.close("lost");
  await stage.store.close();
  return played;
}

function outcome({ clock, trace }: Stage, device: string, lastInput: number | null): Played {
  const { lines } = trace;
  const verdicts = new Map(lines.flatMap((line) => line.what === "answered" ? [[line.answer.request, line.answer.verdict]] : []));
  const requests = lines.flatMap((line) => {
    if (line.what !== "asked" || line.ask.id !== "m" || line.ask.token !== `${device} token`) return [];
    return [{ ...line.ask, at: line.at, verdict: verdicts.get(line.ask.request) }];
  });
  const { findings } = judge(lines, clock.elapsed());
  const against = findings.filter((each) => each.device === device && each.message === "m");
  return {
    requests,
    findings: against.map(({ rule, text, story }) => [`${rule}: ${text}`, ...story].join("\n")),
    lastInput,
  };
}
