import { isPublic, ownerOf, type Topic } from "../protocol/names.ts";

/** Private topics of one user that are worked on at a time: more of them would wait for each other, and hold what others need. */
const OF_ONE_USER = 2;

/** The topics that are worked on, for those who implement `Work`: one user with many topics must not take all that may be at a time. */
export class AtWork {
  readonly #ofOwner = new Map<string, number>();

  mayBegin(topic: Topic): boolean {
    return (this.#ofOwner.get(ownerIn(topic)) ?? 0) < OF_ONE_USER;
  }

  begin(topic: Topic): void {
    const owner = ownerIn(topic);
    this.#ofOwner.set(owner, (this.#ofOwner.get(owner) ?? 0) + 1);
  }

  end(topic: Topic): void {
    const owner = ownerIn(topic);
    const left = this.#ofOwner.get(owner)! - 1;
    if (left > 0) this.#ofOwner.set(owner, left);
    else this.#ofOwner.delete(owner);
  }
}

/** A public topic is nobody's. */
function ownerIn(topic: Topic): string {
  return isPublic(topic) ? topic : ownerOf(topic);
}
