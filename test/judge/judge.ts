import type { Topic } from "../../src/protocol/names.ts";
import { Case, SLACK_MS } from "./case.ts";
import { effectsOf } from "./effects.ts";
import type { Device, Token } from "./known.ts";
import { isOutOfOrder } from "./order.ts";
import { BURST, hurried, type Interval, pacedTimes } from "./pace.ts";
import { Ranges } from "./ranges.ts";
import { HANG_MS, isLow, isOwn, type Request, restEnd } from "./requests.ts";
import { storyOf } from "./story.ts";
import { type Appended, type Asked, entryKey, type Line } from "./trace.ts";
import { Trouble } from "./trouble.ts";
import { World } from "./world.ts";

/** What was answered is written down within this. */
const SETTLED_MS = 1_500;

export type Rule = "MUST" | "NOT" | "ONCE" | "MERGE" | "ORDER" | "PACE" | "END" | "FAIR";

/** Where an engine did not do what DECISIONS.md says. */
export interface Finding {
  readonly rule: Rule;
  readonly user: string;
  readonly device: string;
  readonly message: string;
  /** When it happened, or should have. Monotonic milliseconds. */
  readonly at: number;
  /** In one sentence. */
  readonly text: string;
  /** The lines of the trace that concern it. */
  readonly story: readonly string[];
}

/** What became of the messages, by rule: how many could be judged strictly. Says that a judge had something to judge. */
export interface Verdict {
  readonly findings: Finding[];
  /** Messages and devices for which a push was due and had to leave; those for which none was allowed; those left open. */
  readonly must: number;
  readonly not: number;
  readonly may: number;
}

/** Judges a whole trace: who was pushed that must not be, who was not that must be. Looks at nothing but the trace. */
export function judge(lines: readonly Line[], endAt: number): Verdict {
  return new Judge(lines, endAt).verdict();
}

class Judge {
  readonly #lines: readonly Line[];
  readonly #endAt: number;
  readonly #trouble: Trouble;
  readonly #world: World;
  readonly #cases = new Map<string, Case>();
  readonly #open = new Map<string, Set<Case>>();
  readonly #entries = new Map<string, Appended & { at: number }>();
  readonly #requests = new Map<number, { token: Token | undefined; covers: { one: Case; request: Request }[] }>();
  readonly #findings: Finding[] = [];
  readonly #ranges = new Map<string, Ranges>();
  readonly #found = new Set<string>();
  /** By device, when all requests are known. */
  readonly #rests = new Map<Device, Rests>();
  /** When nodes ended. The next one knows nothing of what left before. */
  readonly #ends: readonly number[];

  constructor(lines: readonly Line[], endAt: number) {
    this.#lines = lines;
    this.#endAt = endAt;
    this.#trouble = new Trouble(lines);
    this.#ends = lines.flatMap((line) => line.what === "engine" && line.event !== "started" ? [line.at] : []);
    this.#world = new World(this.#trouble);
  }

  verdict(): Verdict {
    for (const line of this.#lines) this.#follow(line);
    for (const cases of this.#open.values()) for (const one of cases) one.elapse(this.#world, this.#endAt);
    let must = 0;
    let not = 0;
    let may = 0;
    const byDevice = new Map<Device, Case[]>();
    for (const one of this.#cases.values()) {
      const due = this.#finish(one);
      if (due === "must") must++;
      else if (due === "not") not++;
      else may++;
      const ofDevice = byDevice.get(one.device) ?? [];
      ofDevice.push(one);
      byDevice.set(one.device, ofDevice);
    }
    for (const device of byDevice.keys()) this.#judgePace(device);
    for (const [device, cases] of byDevice) {
      for (const [late, early] of isOutOfOrder(cases, this.#restsOf(device).paced, this.#trouble)) {
        const text = `left after ${early.entry.id} of offset ${early.entry.offset}, both had been due`;
        this.#find("ORDER", late.device, late.entry, late.requests[0]!.at, text);
      }
    }
    this.#findings.sort((a, b) => a.at - b.at);
    return { findings: this.#findings, must, not, may };
  }

  #follow(line: Line): void {
    const { at } = line;
    const users = usersOf(line, this.#world);
    for (const user of users) for (const one of this.#open.get(user) ?? []) one.elapse(this.#world, at);
    const seenBefore = line.what === "said" ? this.#world.link(line.connection)?.seen ?? 0 : 0;
    this.#world.apply(line);
    if (line.what === "appended") return this.#append(line.entry, at);
    if (line.what === "asked") return this.#ask(line.ask, at);
    if (line.what === "answered") return this.#answer(line.answer, at);
    if (users.length === 0) return;
    const seen = line.what === "said" && line.frame.type === "ack" ? this.#newlySeen(line.connection, seenBefore) : undefined;
    for (const user of users) {
      const open = this.#open.get(user);
      if (open === undefined || open.size === 0) continue;
      for (const one of open) one.follow(line, this.#world, seen);
      for (const effect of effectsOf(line, this.#world, this.#trouble)) {
        if (effect.device === undefined && effect.through < Infinity) {
          this.#rangesOf(user, effect.topic).add(effect.after, effect.through);
        }
        for (const one of open) one.take(effect, at);
      }
      for (const one of open) {
        const { endedMaybe, endedSurely } = one.lineage;
        if (endedMaybe <= at) one.done(endedMaybe, endedSurely <= at, "the device has no such target any more");
        if (one.doneSurely < at - 2 * SLACK_MS && one.doneSurely !== one.entry.expiresAt) open.delete(one);
      }
    }
  }

  #newlySeen(connection: number, before: number): Set<string> | undefined {
    const link = this.#world.link(connection)!;
    if (link.seen <= before) return undefined;
    return new Set(link.brought.slice(before, link.seen).map(({ key }) => key));
  }

  #append(entry: Appended, at: number): void {
    this.#entries.set(entryKey(entry), { ...entry, at });
    if (entry.inApp) return;
    for (const user of this.#world.users.values()) {
      const subscribed = this.#world.isSubscribed(user, entry.topic, at);
      if (subscribed === "no") continue;
      // A room's message is handled for whoever sent it.
      if (entry.from === user.id) this.#rangesOf(user.id, entry.topic).add(entry.offset - 1, entry.offset);
      for (const device of user.devices.values()) {
        const lineage = device.lineages.findLast(({ beganMaybe, endedSurely }) => beganMaybe <= at && endedSurely > at);
        if (lineage === undefined || isOwn(entry, device, this.#world.publishers)) continue;
        const isSure = subscribed === "yes" && lineage.beganSurely <= at && lineage.endedMaybe > at;
        const one = new Case(entry, device, lineage, isSure ? "yes" : "maybe", at, this.#world);
        this.#cases.set(`${device.user}\n${device.id}\n${one.key}`, one);
        const open = this.#open.get(user.id) ?? new Set();
        open.add(one);
        this.#open.set(user.id, open);
      }
    }
  }

  #ask(ask: Asked, at: number): void {
    const token = this.#world.tokens.get(ask.token);
    const entry = this.#entries.get(entryKey(ask));
    const covers: { one: Case; request: Request }[] = [];
    this.#requests.set(ask.request, { token, covers });
    if (token === undefined || entry === undefined) {
      const nobody = { user: "?", id: ask.token };
      return this.#find("NOT", nobody, ask, at, "a push of what was never sent, or to a token that nobody has");
    }
    const { device } = token;
    const one = this.#cases.get(`${device.user}\n${device.id}\n${entryKey(ask)}`);
    if (one === undefined) this.#find("NOT", device, entry, at, this.#unwanted(entry, device));
    else {
      one.elapse(this.#world, at);
      this.#judgeRequest(one, ask, token, at);
      const request: Request = { ask, at, joined: false, answer: undefined };
      one.requests.push(request);
      covers.push({ one, request });
    }
    if (ask.waiting > 1) this.#cover(device, entry, ask, at, covers);
  }

  /** Why nothing of this message was wanted at this device. */
  #unwanted(entry: Appended & { at: number }, device: Device): string {
    if (entry.inApp) return "it is for the app only";
    if (isOwn(entry, device, this.#world.publishers)) return "it is the user's own message";
    if (device.lineages.every(({ beganMaybe, endedSurely }) => beganMaybe > entry.at || endedSurely <= entry.at)) {
      return "the target was registered after it";
    }
    return "the user was not subscribed then";
  }

  #judgeRequest(one: Case, ask: Asked, token: Token, at: number): void {
    const { device, entry } = one;
    const last = one.requests.at(-1);
    // Whoever leaves when it is due is judged by what was done with before it was due.
    const reference = at >= one.late && at <= one.late + 2 * SLACK_MS ? one.late : at;
    if (token.endedSurely + SLACK_MS < at) {
      this.#find("NOT", device, entry, at, `the token ${ask.token} was replaced or given up`);
    } else if (one.doneSurely <= reference - SLACK_MS) {
      this.#find("NOT", device, entry, at, `${one.why} at ${one.doneSurely}`);
    } else if (last === undefined && one.coveredMaybe === Infinity && one.earlyFor(at) > at + SLACK_MS) {
      const when = one.early === Infinity ? "at all: it was seen, or is of low urgency" : `before ${one.early}`;
      this.#find("NOT", device, entry, at, `not due ${when}`);
    }
    // Whether it was among those that left together can't be seen.
    if (last === undefined || last.joined) return;
    if (last.ask.collapseId !== ask.collapseId) {
      this.#find("ONCE", device, entry, at, "asked again under another collapse id");
    }
    const { answer } = last;
    if (
      answer === undefined ? this.#trouble.touches(last.at, at) || at >= last.at + HANG_MS - SLACK_MS : !this.#isLastWord(last)
    ) {
      return;
    }
    this.#find(
      "ONCE",
      device,
      entry,
      at,
      answer === undefined ? "asked while it was being asked" : `asked after "${answer.verdict}"`,
    );
  }

  #rangesOf(user: string, topic: Topic): Ranges {
    const key = `${user}\n${topic}`;
    const ranges = this.#ranges.get(key) ?? new Ranges();
    this.#ranges.set(key, ranges);
    return ranges;
  }

  /** Whether what was answered was written down, so that nobody may ask again. */
  #isLastWord({ at, answer }: Request): boolean {
    if (answer === undefined || !["sent", "rejected", "gone"].includes(answer.verdict)) return false;
    return !this.#trouble.touches(at, answer.at + SETTLED_MS);
  }

  /** A provider has said the last word, and that was written down. */
  #isSettled(one: Case): boolean {
    const last = one.requests.at(-1);
    return last !== undefined && this.#isLastWord(last);
  }

  /** Which others left with it can't be seen, only how many. */
  #cover(device: Device, named: Appended, ask: Asked, at: number, covers: { one: Case; request: Request }[]): void {
    for (const one of this.#open.get(device.user) ?? []) one.elapse(this.#world, at);
    const waiting = [...this.#open.get(device.user) ?? []].filter((one) =>
      one.device === device && !this.#isSettled(one) && one.earlyFor(at) <= at + SLACK_MS && one.doneSurely > at - SLACK_MS
    );
    // Once as many left as come one by one, or what was due waited for the provider, a push may stand for all that waits.
    const isForAll = this.#namedOf(device).length >= BURST || waiting.some(({ early }) => this.#trouble.wasAway(early, at));
    const others = waiting.filter((one) => one.key !== entryKey(named) && (one.isLow === isLow(named) || isForAll));
    const count = ask.waiting - 1;
    if (count > others.length) {
      const text = `stands for ${ask.waiting} messages, at most ${others.length + 1} could wait`;
      this.#find("MERGE", device, named, at, text);
    }
    for (const one of others) {
      if (count < others.length) one.coveredMaybe = Math.min(one.coveredMaybe, at);
      else {
        const request: Request = { ask, at, joined: true, answer: undefined };
        one.requests.push(request);
        covers.push({ one, request });
      }
    }
  }

  #answer({ request, verdict, afterMs }: Extract<Line, { what: "answered" }>["answer"], at: number): void {
    const { covers, token } = this.#requests.get(request)!;
    if (verdict === "gone" && token !== undefined) {
      this.#world.targetGone(token, at, !this.#trouble.touches(at, at + SETTLED_MS));
    }
    for (const { request: made } of covers) made.answer = { request, verdict, afterMs, at };
    for (const { one } of covers) if (this.#isSettled(one)) this.#open.get(one.device.user)?.delete(one);
  }

  /** Whether what had to leave has left. */
  #finish(one: Case): "must" | "not" | "may" {
    const { device, entry, lineage, requests } = one;
    one.done(lineage.endedMaybe, true, "the device has no such target any more");
    if (one.want !== "yes" || one.coveredMaybe < Infinity) return "may";
    if (one.late === Infinity) return one.early === Infinity ? "not" : "may";
    const { asked, paced } = this.#restsOf(device);
    // Who sends a high urgency is heard at once.
    const resting = [...asked, ...entry.urgency === "high" ? [] : paced, ...this.#trouble.ofUser(device.user)];
    const due = this.#trouble.free(one.late, resting);
    if (one.doneSurely <= one.late - SLACK_MS) return "not";
    if (one.doneMaybe <= due + SLACK_MS || due + 2 * SLACK_MS > this.#endAt) return "may";
    const first = requests[0];
    if (first === undefined || first.at > due + 2 * SLACK_MS) {
      const text = first === undefined ? `due at ${due}, never pushed` : `due at ${due}, pushed at ${first.at}`;
      this.#find("MUST", device, entry, due, text);
      return "must";
    }
    const last = requests.at(-1)!;
    if (one.isSettled) return "must";
    const again = this.#trouble.free(restEnd(last), resting.filter(({ begin }) => begin > last.at));
    if (one.doneMaybe <= again + SLACK_MS || again + 2 * SLACK_MS > this.#endAt) return "may";
    this.#find("END", device, entry, again, `asked at ${last.at}, ${last.answer?.verdict ?? "no answer"}, never again`);
    return "must";
  }

  /** When nothing had to leave for a device's target. */
  #restsOf(device: Device): Rests {
    let rests = this.#rests.get(device);
    if (rests === undefined) {
      const named = this.#namedOf(device).map(({ request }) => request);
      const asked = named.map((request) => ({ begin: request.at, end: restEnd(request) }));
      const others = [...asked, ...this.#trouble.ofUser(device.user)];
      rests = { asked, paced: pacedTimes(named.filter(mayCount), (at) => this.#trouble.free(at, others)) };
      this.#rests.set(device, rests);
    }
    return rests;
  }

  /** The requests of a device's target, in order, each with the message that it was named after. */
  #namedOf(device: Device): { one: Case; request: Request }[] {
    return [...this.#requests.values()].flatMap(({ covers, token }) => token?.device === device ? covers.slice(0, 1) : []);
  }

  #judgePace(device: Device): void {
    const sent = this.#namedOf(device).filter(({ one, request }) =>
      one.entry.urgency !== "high" && request.answer?.verdict === "sent"
    );
    const early = hurried(sent.map(({ request }) => request), (begin, end) => !this.#ends.some((at) => at >= begin && at <= end));
    const found = sent.find(({ request }) => request === early);
    if (found !== undefined) this.#find("PACE", device, found.one.entry, early!.at, "five others had left within a minute");
  }

  #find(rule: Rule, device: { user: string; id: string }, entry: Appended | Asked, at: number, text: string): void {
    // Every try of one that may not leave is the same fault.
    const key = `${rule} ${device.id} ${entryKey(entry)}`;
    if (this.#found.has(key)) return;
    this.#found.add(key);
    const story = storyOf(this.#lines, device.user, entry, at);
    this.#findings.push({ rule, user: device.user, device: device.id, message: entry.id, at, text, story });
  }
}

interface Rests {
  /** When the target was being asked, or had said "not now". */
  readonly asked: readonly Interval[];
  readonly paced: readonly Interval[];
}

/** What did not arrive does not count, once that is known. */
function mayCount({ answer, at }: Request): boolean {
  return answer === undefined || answer.verdict === "sent" || answer.at > at + SLACK_MS;
}

function usersOf(line: Line, world: World): string[] {
  if ("user" in line) return [line.user];
  if (line.what === "done") return [world.call(line.call)!.user];
  return line.what === "engine" ? [...world.users.keys()] : [];
}
