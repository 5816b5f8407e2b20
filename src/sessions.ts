import type { HeldSession } from "./cluster/questions.ts";
import { deviceName } from "./delivery/session.ts";
import type { UserRecord } from "./ports/users.ts";
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
  /** When it last attached or left. Milliseconds since 1970. */
  readonly changedAt: number;
  /** Push targets by their hash; a dead one says why and since when. */
  readonly targets: readonly { id: string; provider: string; disabled: { reason: string; at: number } | undefined }[];
}

/** What the store knows of a user's devices, and what the nodes that hold them know better. */
export function describeSessions(record: UserRecord | undefined, held: readonly HeldSession[]): SessionInfo[] {
  return (record?.sessions ?? []).map(({ deviceId, leaving, node, changedAt, targets }) => {
    const device = deviceName(deviceId);
    const known = held.find((session) => session.device === device);
    return {
      userId: record!.userId,
      device,
      // A node that does not say is about to be given up: its sessions are held as recent then.
      state: known?.state ?? (node === null || leaving ? "disconnected.away" : "disconnected.recent"),
      attended: known?.attended ?? false,
      unseen: known?.unseen ?? 0,
      changedAt,
      targets: targets.map(({ id, provider, disabled }) => ({ id, provider, disabled })),
    };
  });
}
