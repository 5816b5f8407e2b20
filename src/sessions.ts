import type { Session } from "./delivery/session.ts";
import { deviceName } from "./delivery/session.ts";
import type { UserRecord } from "./ports/users.ts";
import type { SessionState, Stepper } from "./session/step.ts";

/** One of a user's devices, as `sessions()` shows it. */
export interface SessionInfo {
  readonly userId: string;
  /** A short stable hash that stands for the deviceId. */
  readonly device: string;
  readonly state: SessionState;
  readonly attended: boolean;
  /** Frames sent and not confirmed yet. */
  readonly unseen: number;
  /** When it last attached or left. Milliseconds since 1970. */
  readonly changedAt: number;
  /** Push targets by their hash; a dead one says why and since when. */
  readonly targets: readonly { id: string; provider: string; disabled: { reason: string; at: number } | undefined }[];
}

/** What the store knows of a user's devices, and what this node knows better. */
export function describeSessions(record: UserRecord | undefined, held: readonly Session[], stepper: Stepper): SessionInfo[] {
  return (record?.sessions ?? []).map(({ deviceId, changedAt, targets }) => {
    const session = held.find((session) => session.deviceId === deviceId);
    const facts = session && stepper.describe(session.state);
    return {
      userId: record!.userId,
      device: deviceName(deviceId),
      state: facts?.state ?? "disconnected.away",
      attended: facts?.attended ?? false,
      unseen: session?.unseen.count ?? 0,
      changedAt,
      targets: targets.map(({ id, provider, disabled }) => ({ id, provider, disabled })),
    };
  });
}
