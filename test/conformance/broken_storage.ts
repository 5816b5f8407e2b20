import type { OpenStorage, StorageContext } from "../../src/ports/storage.ts";

/** A storage with one defect, and the cases that are to find it. */
export interface BrokenStorage {
  readonly defect: string;
  readonly caughtBy: readonly string[];
  spoil(storage: OpenStorage, context: StorageContext): OpenStorage;
}

/** `port` with some of its members replaced. */
export function over<Port extends object>(port: Port, replaced: Partial<Port>): Port {
  return new Proxy(port, {
    get(target, name) {
      if (name in replaced) return replaced[name as keyof Port];
      const value = target[name as keyof Port];
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** Time for what is under way to come between. */
export const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));
