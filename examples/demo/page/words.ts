/** The engine's decisions in words that a person understands. */

import { type Person, personOf, policy } from "../people.ts";
import type { DeviceTag, Story, StoryLine } from "../story.ts";
import { isHere } from "./installation.ts";

/** A line of the log. */
export interface Sentence {
  readonly text: string;
  readonly tone: "good" | "wait" | "push" | "bad" | "plain";
  /** Only what is to be expected: the next line of the same device takes its place. */
  readonly passing?: true;
}

/** A stretch of time, to the precision that a reader wants. */
export function stretch(ms: number): string {
  if (ms < 1_000) return `${Math.max(1, Math.round(ms))} ms`;
  const seconds = (ms / 1_000).toFixed(ms < 10_000 ? 1 : 0);
  return `${seconds.replace(/\.0$/, "")} s`;
}

/** Hours and minutes, as a phone shows them. */
export function clock(at: number): string {
  return new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
}

/** The message's address, for people. */
export function addressee({ to, channel }: Pick<Story, "to" | "channel">): string {
  return to === "*" ? `everyone on ${channel}` : personOf(to)?.name ?? to;
}

/** "laptop", "app tab". A device that has not been here since the server started has no name. */
export function kindOf(line: string | undefined): string {
  const kind = line?.split(".")[2] ?? "device";
  return isHere(line) ? kind : `${kind} in another browser`;
}

/** "Sara's laptop". */
export function fullNameOf({ userId, line }: DeviceTag): string {
  return `${personOf(userId)?.name ?? userId}’s ${kindOf(line)}`;
}

/**
 * What a line of the engine's journal says; undefined where it says nothing that a visitor would miss.
 * @param before the lines about this message that came earlier
 */
export function sentence(line: StoryLine, story: Story, before: readonly StoryLine[]): Sentence | undefined {
  const person = personOf(line.userId);
  const name = person?.name ?? line.userId;
  switch (line.kind) {
    case "routed":
      return routed(line, person);
    case "acked":
      return {
        text: `delivered in ${stretch(line.at - story.sentAt)}${inBackground(line, before) ? ", in the background" : ""}`,
        tone: "good",
      };
    case "counted":
      return {
        text: `delivered to ${line.detail === "1" ? "one device" : `${line.detail} devices`}`,
        tone: "good",
        passing: true,
      };
    case "push-spared":
      return { text: `no push: ${detailInWords(line, person)}`, tone: "good" };
    case "push-held":
      return { text: `held: ${held(line, person)}`, tone: "wait" };
    case "push-released":
      return { text: `pushed: ${line.detail} on ${otherDevice(person, line)}`, tone: "push" };
    case "push-queued":
      return queued(line, person, ruleBefore(line, before));
    case "push-sent":
      return sent(line, person, before);
    case "push-dropped":
      return { text: `dropped: ${detailInWords(line, person)}`, tone: "good" };
    case "push-retry":
      return { text: `the push service said: not now (${line.detail})`, tone: "wait" };
    case "target-rested":
      return { text: "the push service is not asked for this device for a while", tone: "wait" };
    case "target-replaced":
      return { text: "the push service knows this device by another token", tone: "plain" };
    case "push-gone":
      return { text: "the push service does not know this device any more", tone: "bad" };
    case "push-rejected":
      return { text: `the push service refused it (${line.detail})`, tone: "bad" };
    case "failed":
      return { text: "the app could not handle it", tone: "bad" };
    case "diverted":
      return { text: "reads slowly, goes on from the log", tone: "wait" };
    case "expired":
      return { text: "expired before anybody needed it", tone: "plain" };
    case "read":
      return { text: `read by ${name}`, tone: "good" };
    case "dismissed":
      return { text: `dismissed by ${name}`, tone: "plain" };
    case "seen":
    case "push-asked":
      return undefined;
    default:
      return line.kind satisfies never;
  }
}

/** The session's state and the message's class, such as "connected.live/alert", as the reason for what was done. */
export function ruleInWords(rule: string): string {
  const [state, kind, target] = rule.split("/");
  const quiet = kind === "quiet";
  const push = target === "no-target" ? "a push was wanted, but the device has nowhere to push to" : undefined;
  switch (state) {
    case "connected.live":
      return quiet
        ? "connected and well: by socket only"
        : push ?? `connected and well: by socket, and by push if not seen within ${stretch(policy.ackTimeoutMs)}`;
    case "connected.suspect":
      return push ??
        (quiet ? "the socket may be dead: by socket only" : "the socket may be dead: by socket, and by push at once");
    case "backgrounded":
      return push ??
        (quiet
          ? "in the background: by socket, and by push together with others"
          : "in the background: by socket, and by push at once");
    case "disconnected.recent":
      return push ?? `gone moments ago: by socket if it is back within ${stretch(policy.graceMs)}, else by push`;
    case "disconnected.away":
      return push ?? (quiet ? "nobody there: by push together with others" : "nobody there: by push at once");
    default:
      return rule;
  }
}

function routed({ detail }: StoryLine, person: Person | undefined): Sentence {
  const [state, , target] = (detail ?? "").split("/");
  switch (state) {
    case "connected.live":
      return { text: "sent by socket", tone: "plain", passing: true };
    case "connected.suspect":
      return { text: "sent by socket, which may be dead", tone: "wait", passing: true };
    case "backgrounded":
      return { text: "sent by socket, in the background", tone: "plain", passing: true };
    case "disconnected.recent":
      return { text: `waits: ${person?.subject ?? "it"} was here a moment ago (${stretch(policy.graceMs)})`, tone: "wait" };
    default:
      if (target === "no-target") return { text: "waits: nobody there, and nowhere to push to", tone: "wait" };
      return { text: "kept in the log", tone: "plain", passing: true };
  }
}

/** What had been decided for this device before. */
function ruleBefore({ device }: StoryLine, before: readonly StoryLine[]): string {
  return before.findLast((line) => line.kind === "routed" && line.device === device)?.detail ?? "";
}

function inBackground(line: StoryLine, before: readonly StoryLine[]): boolean {
  return ruleBefore(line, before).startsWith("backgrounded");
}

function queued({ detail }: StoryLine, person: Person | undefined, ruleBefore: string): Sentence {
  const [state, kind] = (detail ?? "").split("/");
  const she = person?.subject ?? "nobody";
  if (kind === "quiet") return { text: `can wait: a push goes out within ${stretch(policy.coalesceMs)}`, tone: "wait" };
  const push = (why: string): Sentence => ({ text: `pushed: ${why}`, tone: "push" });
  switch (state) {
    case "connected.live":
    case "connected.suspect":
      if (ruleBefore.startsWith("connected.suspect")) return push("the socket seems dead");
      return push(`not seen within ${stretch(policy.ackTimeoutMs)}`);
    case "backgrounded":
      return push(`${she} is not looking`);
    default:
      return push(ruleBefore.startsWith("disconnected.recent") ? `${she} did not come back` : "nobody there");
  }
}

function sent(line: StoryLine, person: Person | undefined, before: readonly StoryLine[]): Sentence {
  const last = before.findLast(({ kind, device }) => kind.startsWith("push-") && device === line.device);
  if (last?.kind === "push-held" && last.detail === AT_ANOTHER) {
    return { text: `pushed: not read on ${otherDevice(person, line)}`, tone: "push" };
  }
  const together = /in one push with [^,]+/.exec(line.detail ?? "")?.[0];
  return { text: `the push service took it${together === undefined ? "" : `, ${together}`}`, tone: "push" };
}

/** What the engine says of a push that waits because the person is at another device. */
const AT_ANOTHER = "the person is at another device";

function held(line: StoryLine, person: Person | undefined): string {
  if (line.detail === AT_ANOTHER) return `${person?.name ?? line.userId} is active on ${otherDevice(person, line)}`;
  return detailInWords(line, person);
}

/** The engine's reason, with the devices as they are called here. */
function detailInWords(line: StoryLine, person: Person | undefined): string {
  const { detail = "it is not needed" } = line;
  if (detail === "the user's own message") return `${person?.possessive ?? "their"} own message`;
  return detail
    .replace(
      "another device that was not touched for a while: waits for input there",
      "another device, where nobody is: waits for a touch",
    )
    .replace("another device", otherDevice(person, line))
    .replace("on this device", "here")
    .replace("from this device", "from here");
}

/** "her laptop", where that is clear. */
function otherDevice(person: Person | undefined, { line }: Pick<DeviceTag, "line">): string {
  const others = person?.devices.filter((kind) => kind !== kindOf(line)) ?? [];
  return person !== undefined && others.length === 1 ? `${person.possessive} ${others[0]}` : "another device";
}
