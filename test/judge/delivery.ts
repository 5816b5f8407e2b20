import { CloseCode } from "../../src/protocol/codes.ts";
import { type Topic, topicOf } from "../../src/protocol/names.ts";
import type { Device } from "./device.ts";
import type { Line } from "./trace.ts";
import { Trouble } from "./trouble.ts";

/** What did not arrive, arrived twice or in the wrong order, as apps see it, when everybody has come back. */
export function judgeDelivery(lines: readonly Line[], devices: readonly Device[], now: number): string[] {
  const faults: string[] = judgeBeginnings(lines);
  const entries = lines.flatMap((line) => line.what === "appended" ? [line.entry] : []);
  for (const device of devices) {
    const name = `${device.user}'s ${device.id}`;
    for (const fault of device.faults) faults.push(`${name}: ${fault}`);
    if (!device.isSignedIn) continue;
    if (!device.isWelcome) faults.push(`${name} could not come back`);
    for (const [topic, { epoch, offset }] of device.began) {
      const left = hasLeft(lines, device.user, topic);
      const shown = new Set(device.shown.filter((each) => each.topic === topic).map(({ offset }) => offset));
      for (const entry of entries) {
        if (entry.topic !== topic || entry.epoch !== epoch || entry.offset <= offset) continue;
        // Long dead, or it may have expired on its way.
        if (entry.expiresAt <= now + 1_000 || shown.has(entry.offset)) continue;
        const skip = device.skipped.find((skip) =>
          skip.topic === topic && entry.offset > skip.after && entry.offset <= skip.through
        );
        if (skip !== undefined && left) continue;
        faults.push(
          `${name} never got ${entry.id} of ${topic} ${entry.offset}${skip === undefined ? "" : ", it was passed over"}`,
        );
      }
    }
    const at = new Map<Topic, number>();
    for (const { topic, offset } of device.shown) {
      if (offset <= (at.get(topic) ?? 0)) faults.push(`${name} was shown ${topic} ${offset} after ${at.get(topic)}`);
      at.set(topic, offset);
    }
  }
  return faults;
}

/** The longest that ending a session takes. */
const ENDING_MS = 500;

/**
 * Who signs in again goes on where the user was furthest in front: not at the log's beginning, and not behind what nobody had in
 * front either, when no device is left that has it.
 */
function judgeBeginnings(lines: readonly Line[]): string[] {
  const faults: string[] = [];
  const sessions = new Sessions();
  const trouble = new Trouble(lines);
  const shown = new Map<string, number>();
  const signedOut = new Set<string>();
  /** How far the user was when a device said hello: what another one shows while it is let in comes too late. */
  const atHello = new Map<string, number>();
  /** Users who were being signed out, and since when. */
  const ending = new Map<string, number>();
  /** Connections that asked to be signed out: without an answer they may be so without knowing it. */
  const leaving = new Set<number>();
  for (const line of lines) {
    sessions.follow(line);
    if (line.what === "call" && line.name === "revoke") ending.set(line.user, line.at);
    if (line.what === "said" && line.frame.type === "logout") {
      ending.set(line.user, line.at);
      leaving.add(line.connection);
    }
    if (!("device" in line) || line.what === "input") continue;
    const { at, device, user } = line;
    const own = topicOf(user, "default");
    if (line.what === "said" && line.frame.type === "hello" && signedOut.has(device) && !atHello.has(device)) {
      atHello.set(device, shown.get(user) ?? 0);
    }
    if (line.what === "closed" && line.code === CloseCode.signedOut) signedOut.add(device);
    else if (line.what === "said" && line.frame.type === "ack" && line.presence.visible && !trouble.mayLose(at, own)) {
      // What is acked while the session ends may come too late.
      if (at - (ending.get(user) ?? -Infinity) < ENDING_MS || leaving.has(line.connection)) continue;
      const acked = line.frame.cursors.find(({ topic }) => topic === own)?.offset ?? 0;
      shown.set(user, Math.max(shown.get(user) ?? 0, acked));
    } else if (line.what === "heard" && line.frame.type === "welcome" && signedOut.delete(device)) {
      const { offset } = line.frame.recovery.find(({ topic }) => topic === own)!;
      const furthest = atHello.get(device) ?? 0;
      atHello.delete(device);
      if (offset < furthest) faults.push(`${device} began at ${offset} of ${own} at ${at}, ${furthest} had been shown`);
      const most = sessions.mostShown(line.connection);
      if (offset > most) faults.push(`${device} began at ${offset} of ${own} at ${at}, no more than ${most} had been shown`);
    }
  }
  return faults;
}

/** Who may have a session, and how far users may have been in front in their own topic. */
class Sessions {
  readonly #byUser = new Map<string, Map<string, number>>();
  readonly #shown = new Map<string, number>();
  /** What each device has acked, in front or not. */
  readonly #acked = new Map<string, number>();
  readonly #revokes = new Map<number, { user: string; at: number }>();
  /** Of connections that said hello when nobody else had a session: how far the user may have been. */
  readonly #alone = new Map<number, number>();

  /** Infinity: another device may have been further. */
  mostShown(connection: number): number {
    return this.#alone.get(connection) ?? Infinity;
  }

  follow(line: Line): void {
    if (line.what === "call" && line.name === "revoke") this.#revokes.set(line.call, line);
    if (line.what === "done" && line.ok) this.#revoked(this.#revokes.get(line.call));
    if (line.what === "closed" && line.code === CloseCode.signedOut) this.#of(line.user).delete(line.device);
    if (line.what !== "said") return;
    const { connection, device, frame, presence, user } = line;
    const sessions = this.#of(user);
    if (frame.type === "hello") {
      if (sessions.size === 0) this.#alone.set(connection, this.#shown.get(user) ?? 0);
      sessions.set(device, line.at);
    }
    const cursors = "cursors" in frame ? frame.cursors : [];
    const offset = cursors.find(({ topic }) => topic === topicOf(user, "default"))?.offset ?? 0;
    const acked = Math.max(this.#acked.get(device) ?? 0, offset);
    this.#acked.set(device, acked);
    if (presence.visible) this.#shown.set(user, Math.max(this.#shown.get(user) ?? 0, acked));
  }

  /** Who said hello while it was under way may have a session still. */
  #revoked(revoke: { user: string; at: number } | undefined): void {
    if (revoke === undefined) return;
    const sessions = this.#of(revoke.user);
    for (const [device, at] of sessions) if (at < revoke.at) sessions.delete(device);
  }

  #of(user: string): Map<string, number> {
    const sessions = this.#byUser.get(user) ?? new Map<string, number>();
    this.#byUser.set(user, sessions);
    return sessions;
  }
}

/** Whether the user ever left the topic, or was signed out everywhere: then what came meanwhile is nobody's. */
function hasLeft(lines: readonly Line[], user: string, topic: Topic): boolean {
  return lines.some((line) =>
    (line.what === "said" && line.user === user && line.frame.type === "unsubscribe" && line.frame.topic === topic) ||
    // Who signed out and heard no answer may be a new device when it comes again.
    (line.what === "said" && line.user === user && line.frame.type === "logout") ||
    (line.what === "call" && line.user === user && line.name === "unsubscribe" && line.topic === topic) ||
    (line.what === "call" && line.user === user && line.name === "revoke")
  );
}
