/**
 * Takes one step after the other, also behind one that failed.
 *
 * @throws what the first step failed with that did, at the end
 */
export async function everyStep(steps: readonly (() => unknown)[]): Promise<void> {
  const faults: unknown[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (fault) {
      faults.push(fault);
    }
  }
  if (faults.length > 0) throw faults[0];
}
