/**
 * How the nodes that share a storage talk to each other. Best effort and unlogged: what matters stands in the storage, this only
 * says that it is time to look, or asks what only memory knows.
 *
 * An implementer MUST deliver to every node that listens at the address, this one too, MUST keep addresses apart whatever
 * characters they hold, MUST NOT throw from `tell` while the others can't be reached, and MUST NOT let a listener's throw reach
 * other listeners.
 */
export interface Peers {
  tell(address: string, bytes: Uint8Array): void;
  /**
   * Tells, and gathers what the listeners answer.
   *
   * @param options.ms how long to wait at most
   * @param options.enough looks at the answers so far, before the first too; true: no more are needed
   * @returns what came; while the others can't be reached: nothing
   */
  ask(
    address: string,
    bytes: Uint8Array,
    options: { ms: number; enough(answers: readonly Uint8Array[]): boolean },
  ): Promise<Uint8Array[]>;
  /**
   * Hears what is told at an address.
   *
   * @param heard its result answers an `ask`; undefined: no answer
   * @returns once everything that is told from then on arrives
   */
  listen(
    address: string,
    heard: (bytes: Uint8Array) => Uint8Array | undefined | Promise<Uint8Array | undefined>,
  ): Promise<{ close(): void }>;
}
