import type { Page, Time } from "./environment.ts";
import type { Presence } from "./leader.ts";

/** Attended: visible, and input within this time. */
const ATTENDED_MS = 120_000;
/** Input is looked at so often at most. */
const INPUT_EVERY_MS = 1_000;
const INPUT = ["pointerdown", "pointermove", "keydown", "wheel", "touchstart", "scroll"];

/** What watchPresence gives. */
export interface PresenceWatch {
  current(): Presence;
  /** What the app says goes before what is observed; undefined gives it back. */
  set(presence: Partial<Presence> | undefined): void;
}

/**
 * Watches whether the person is there, and says when that changes; until the signal aborts.
 * Without a page: visible, not attended, until the app says otherwise.
 */
export function watchPresence(
  page: Page | undefined,
  time: Time,
  signal: AbortSignal,
  changed: (presence: Presence) => void,
): PresenceWatch {
  let given: Partial<Presence> | undefined;
  let inputAt = -Infinity;
  let timer: unknown;
  let last = current();

  function current(): Presence {
    const visible = page ? page.document.visibilityState === "visible" : true;
    const observed = { visible, attended: visible && time.elapsed() - inputAt < ATTENDED_MS };
    return { ...observed, ...given };
  }

  function look(): void {
    const now = current();
    if (now.visible === last.visible && now.attended === last.attended) return;
    last = now;
    changed(now);
  }

  function input(): void {
    if (time.elapsed() - inputAt < INPUT_EVERY_MS) return;
    inputAt = time.elapsed();
    timer ??= time.setTimeout(idle, ATTENDED_MS);
    look();
  }

  function idle(): void {
    const left = inputAt + ATTENDED_MS - time.elapsed();
    timer = left > 0 ? time.setTimeout(idle, left) : undefined;
    look();
  }

  page?.document.addEventListener("visibilitychange", look, { signal });
  for (const type of INPUT) page?.window.addEventListener(type, input, { passive: true, capture: true, signal });
  signal.addEventListener("abort", () => time.clearTimeout(timer));

  return {
    current,
    set(presence) {
      given = presence;
      look();
    },
  };
}
