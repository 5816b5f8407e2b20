import { fingerprint } from "../../src/protocol/fingerprint.ts";

/** Targets that are remembered. Of more those are forgotten that were doubted the longest ago. */
const REMEMBERED = 1_000;
/** So many targets that are doubted one after the other, with nothing taken in between, are not all dead: the pushes are bad. */
const TOO_MANY = 3;

/**
 * Targets of which FCM said INVALID_ARGUMENT and not what of it: the token may be none, or the push may hold what our own checks
 * don't know of. A second push that meets the same settles it: the target is dead.
 *
 * It knows targets by a hash, and what it heard itself: another node, and a restart, begin anew.
 */
export class DoubtedTargets {
  /** By the target's hash: the collapse id of the push that made it doubted. */
  readonly #pushes = new Map<string, string>();
  /** Doubted since a push was taken. */
  readonly #inARow = new Set<string>();

  /** @returns whether the target is dead */
  doubt(token: string, collapseId: string): boolean {
    const target = fingerprint(token);
    const before = this.#pushes.get(target);
    this.#pushes.delete(target);
    if (this.#inARow.size < TOO_MANY) this.#inARow.add(target);
    if (before !== undefined && before !== collapseId && this.#inARow.size < TOO_MANY) return true;
    this.#pushes.set(target, before ?? collapseId);
    if (this.#pushes.size > REMEMBERED) this.#pushes.delete(this.#pushes.keys().next().value!);
    return false;
  }

  /** The service took a push for it. */
  trust(token: string): void {
    this.#inARow.clear();
    if (this.#pushes.size > 0) this.#pushes.delete(fingerprint(token));
  }
}
