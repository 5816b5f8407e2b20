import type { Page, Time } from "./environment.ts";
import type { PersonState } from "./leader.ts";

/** Input is looked at so often at most. */
const INPUT_EVERY_MS = 1_000;
/** The person comes back: input after a time as long as this without. */
const BACK_AFTER_MS = 30_000;
const INPUT = ["pointerdown", "pointermove", "keydown", "wheel", "touchstart", "scroll"];

/** Whether the person can see the app, and touched it just now. */
export interface Activity {
  readonly visible: boolean;
  /** True: there was input just now. False: there was none. */
  readonly attended: boolean;
}

/** What watchActivity gives. */
export interface ActivityWatch {
  current(): PersonState;
  /** What the app says goes before what is observed; undefined gives it back. */
  set(activity: Partial<Activity> | undefined): void;
}

/**
 * Watches whether the app is visible and when the last input was, and says when that changes; until the signal aborts.
 * Without a page: visible, and no input, until the app says otherwise.
 *
 * @param changed `back`: the app came to the front, or there is input after a while
 */
export function watchActivity(
  page: Page | undefined,
  time: Time,
  signal: AbortSignal,
  changed: (activity: PersonState, back: boolean) => void,
): ActivityWatch {
  let given: Partial<Activity> = {};
  let observedAt = -Infinity;
  let saidAt = -Infinity;
  let last = look();

  /** When the last input was, -Infinity when there was none. */
  function look(): { visible: boolean; at: number } {
    const visible = given.visible ?? page?.document.visibilityState !== "hidden";
    return { visible, at: given.attended === undefined ? observedAt : saidAt };
  }

  function tell(): void {
    const now = look();
    const quiet = now.at - last.at;
    if (now.visible === last.visible && !(quiet < 0 || quiet >= INPUT_EVERY_MS)) return;
    const back = now.visible && (!last.visible || quiet >= BACK_AFTER_MS);
    last = now;
    changed(current(), back);
  }

  function current(): PersonState {
    const { visible, at } = look();
    return { visible, idleMs: at === -Infinity ? null : time.elapsed() - at };
  }

  function input(): void {
    observedAt = time.elapsed();
    tell();
  }

  page?.document.addEventListener("visibilitychange", tell, { signal });
  for (const type of INPUT) page?.window.addEventListener(type, input, { passive: true, capture: true, signal });

  return {
    current,
    set(activity = {}) {
      given = activity;
      saidAt = activity.attended ? time.elapsed() : -Infinity;
      tell();
    },
  };
}
