/** Runs the conformance cases on sqlite without a test framework, for runtimes on which ours does not run. */
import { join } from "node:path";
import { runCase, storageCases } from "peyk/conformance";
import { sqlite } from "peyk/sqlite";

const cases = storageCases();
for (const [index, one] of cases.entries()) {
  try {
    const outcome = await runCase(one, (retention) => sqlite(join(import.meta.dirname!, `${index}.db`), { retention }));
    if (outcome !== "passed") throw new Error(outcome);
  } catch (error) {
    throw new Error(`${one.port} ${one.name}`, { cause: error });
  }
}
console.log(`${cases.length} storage cases hold on sqlite`);
