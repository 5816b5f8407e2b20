import process from "node:process";
import { onTestFinished } from "vitest";

/** Rejections that nothing handles while the test runs: by default each ends the process. */
export function unhandledRejections(): unknown[] {
  const faults: unknown[] = [];
  const hear = (fault: unknown): void => void faults.push(fault);
  const others = process.listeners("unhandledRejection");
  process.removeAllListeners("unhandledRejection");
  process.on("unhandledRejection", hear);
  onTestFinished(() => {
    process.off("unhandledRejection", hear);
    for (const other of others) process.on("unhandledRejection", other);
  });
  return faults;
}
