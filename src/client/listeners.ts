/** What every `onX` takes beside its function. */
export interface ListenOptions {
  /** Ends it when it aborts, as calling the returned function does. */
  signal?: AbortSignal;
}

/** Takes `item` into `set` until the returned function is called or the signal aborts. */
export function join<Item>(set: Set<Item>, item: Item, { signal }: ListenOptions = {}): () => void {
  const leave = () => {
    set.delete(item);
    signal?.removeEventListener("abort", leave);
  };
  if (!signal?.aborted) {
    set.add(item);
    signal?.addEventListener("abort", leave);
  }
  return leave;
}
