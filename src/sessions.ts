import type { HeldSession } from "./cluster/questions.ts";
import { deviceName } from "./delivery/session.ts";
import { placeOf } from "./delivery/target.ts";
import { isForgotten } from "./delivery/temporary.ts";
import type { UserRecord } from "./ports/users.ts";
import type { Rest } from "./push/resting.ts";
import type { SessionState } from "./session/step.ts";

/** One of a user's devices, as `sessions()` shows it. */
export interface SessionInfo {
  readonly userId: string;
  /** A short stable hash that stands for the deviceId. */
  readonly device: string;
  readonly state: SessionState;
  /** The app is in front on a connection that is live, and the last input was less than `policy.leftMs` ago. */
  readonly attended: boolean;
  /** Frames sent and not confirmed yet. */
  readonly unseen: number;
  /** It is forgotten an hour after it left, and has no target. */
  readonly temporary: boolean;
  /** When it last attached or left. Milliseconds since 1970. */
  readonly changedAt: number;
  readonly targets: readonly TargetInfo[];
}

/** One of a device's push targets. */
export interface TargetInfo {
  /** A short stable hash that stands for the token. */
  readonly id: string;
  readonly provider: string;
  /** Why nothing is sent to it any more, and since when, milliseconds since 1970. Undefined: it is in use. */
  readonly disabled: { readonly reason: string; readonly at: number } | undefined;
  /**
   * Why nothing is sent to it before some time, milliseconds since 1970: its provider asked for a pause, or what it said may be the
   * target's own fault. By what the node that is asked has heard itself, since its start. Undefined: it does not rest.
   */
  readonly resting: Rest | undefined;
}

/**
 * What the store knows of a user's devices, and what the nodes that hold them know better.
 * @param restOf whether a place that pushes go to rests
 */
export function describeSessions(
  record: UserRecord | undefined,
  held: readonly HeldSession[],
  restOf: (targetId: string) => Rest | undefined,
  now: number,
): SessionInfo[] {
  const sessions = (record?.sessions ?? []).filter((session) => !isForgotten(session, now));
  return sessions.map(({ deviceId, leaving, node, changedAt, targets, temporary }) => {
    const device = deviceName(deviceId);
    const known = held.find((session) => session.device === device);
    return {
      userId: record!.userId,
      device,
      // A node that does not say is about to be given up: its sessions are held as recent then.
      state: known?.state ?? (node === null || leaving ? "disconnected.away" : "disconnected.recent"),
      attended: known?.attended ?? false,
      unseen: known?.unseen ?? 0,
      temporary: temporary === true,
      changedAt,
      targets: targets.map(({ id, provider, disabled }) => {
        // Nothing is sent to a dead one, rested or not.
        const resting = disabled === undefined ? restOf(placeOf(record!.userId, deviceId, provider)) : undefined;
        return { id, provider, disabled, resting };
      }),
    };
  });
}
