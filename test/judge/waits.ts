import { type Link, NEAR_MS } from "./known.ts";
import { ATTENDED_MS } from "./presence.ts";
import type { Line } from "./trace.ts";

interface Wait {
  readonly link: Link;
  readonly lastInput: number;
  readonly until: number;
  /** The device is not in front any more: whether the person comes back can't be told in the same way. */
  isBroken: boolean;
}

/** What a line means for pushes that wait whether somebody comes back to a device. */
export interface Waited {
  /** One wait broke before its time: the pushes may leave. */
  readonly isOver: boolean;
  /** The device that was touched, if one was; surely: in time, and it had been in front all along. */
  readonly by: string | undefined;
  readonly surely: boolean;
}

/** Acks some time after the last input: an input within two minutes of it handles, and until then other devices' pushes wait. */
export class Waits {
  readonly #waits: Wait[] = [];

  add(link: Link, until: number): void {
    this.#waits.push({ link, lastInput: until - ATTENDED_MS, until, isBroken: false });
  }

  /** Until when pushes may wait; one that is broken may be kept to the end all the same. */
  get until(): number {
    return Math.max(-Infinity, ...this.#waits.map(({ until }) => until));
  }

  follow(line: Line, at: number): Waited | undefined {
    if (this.#waits.length === 0) return undefined;
    let isOver = false;
    let by: string | undefined;
    let surely = false;
    for (const wait of this.#waits) {
      const { link, lastInput, until } = wait;
      if (!wait.isBroken && (link.device.link !== link || !link.visible)) {
        wait.isBroken = true;
        isOver ||= at < until;
      }
      if (line.what !== "said" || line.user !== link.device.user || line.device !== link.device.id) continue;
      const told = line.presence.idleMs === null ? -Infinity : at - line.presence.idleMs;
      if (told <= lastInput || !line.presence.visible) continue;
      by = line.device;
      surely ||= !wait.isBroken && told < until - NEAR_MS && at < until - NEAR_MS;
    }
    return { isOver, by, surely };
  }
}
