import { defineConfig } from "vitest/config";

const inDeno = "Deno" in globalThis;

const common = {
  // Node warns of node:sqlite in every worker; Deno has no such flag.
  execArgv: inDeno ? [] : ["--disable-warning=ExperimentalWarning"],
  // Machines that test are often busy: what hangs is found all the same, what is slow is no failure.
  testTimeout: 60_000,
  hookTimeout: 60_000,
};
/** Real processes that die by the clock: nothing else may keep the processors busy meanwhile. */
const ALONE = ["test/faults/**/*.test.ts"];

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...common,
          name: "together",
          include: ["test/**/*.test.ts"],
          // Packing the package and the pages of examples are the same whichever runtime looks: once, on Node.
          exclude: inDeno ? ["test/packaging/**", "test/browser/{demo,chat}.test.ts", ...ALONE] : ALONE,
          sequence: { groupOrder: 0 },
        },
      },
      { test: { ...common, name: "alone", include: ALONE, sequence: { groupOrder: 1 } } },
    ],
  },
});
