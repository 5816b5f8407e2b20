/** What the task returns; undefined when it throws. For what must not end the session. */
export function attempt<Result>(task: () => Result): Result | undefined {
  try {
    return task();
  } catch {
    return undefined;
  }
}
