import type { Session } from "./session.ts";

/** The sessions this node holds, by user. */
export class Roster {
  readonly #byUser = new Map<string, Session[]>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  of(userId: string): readonly Session[] {
    return this.#byUser.get(userId) ?? NOBODY;
  }

  find(userId: string, deviceId: string): Session | undefined {
    for (const session of this.of(userId)) if (session.deviceId === deviceId) return session;
    return undefined;
  }

  add(session: Session): void {
    const sessions = this.#byUser.get(session.userId);
    if (sessions === undefined) this.#byUser.set(session.userId, [session]);
    else sessions.push(session);
    this.#count++;
  }

  remove(session: Session): void {
    const sessions = this.#byUser.get(session.userId);
    const index = sessions?.indexOf(session) ?? -1;
    if (sessions === undefined || index < 0) return;
    this.#count--;
    if (sessions.length === 1) this.#byUser.delete(session.userId);
    else sessions.splice(index, 1);
  }

  *[Symbol.iterator](): Generator<Session> {
    for (const sessions of this.#byUser.values()) yield* sessions;
  }
}

const NOBODY: readonly Session[] = Object.freeze([]);
