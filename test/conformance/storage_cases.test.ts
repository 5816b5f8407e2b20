import { describe, expect, test } from "vitest";
import { runCase, storageCases } from "../../adapters/conformance/conformance.ts";
import { memory } from "../../src/memory/memory.ts";
import { brokenHistories } from "./broken_histories.ts";
import { brokenOutboxes } from "./broken_outboxes.ts";
import { brokenTransports } from "./broken_transports.ts";
import { brokenUsers } from "./broken_users.ts";
import { brokenWorks } from "./broken_works.ts";

const brokenStorages = [...brokenTransports, ...brokenHistories, ...brokenWorks, ...brokenUsers, ...brokenOutboxes];
const cases = new Map(storageCases().map((one) => [`${one.port} ${one.name}`, one]));

describe("a storage is caught that", () => {
  for (const { defect, caughtBy, spoil } of brokenStorages) {
    test(defect, async () => {
      const passed: string[] = [];
      for (const name of caughtBy) {
        const one = cases.get(name);
        if (one === undefined) throw new Error(`no such case: ${name}`);
        const run = runCase(one, (retention) => ({
          open: async (context) => spoil(await memory({ retention }).open(context), context),
        }), { patienceMs: 50 });
        await run.then(() => passed.push(name), () => {});
      }
      expect(passed).toEqual([]);
    });
  }
});

test("every case catches somebody", () => {
  const catching = new Set(brokenStorages.flatMap(({ caughtBy }) => caughtBy));
  expect([...cases.keys()].filter((name) => !catching.has(name))).toEqual([]);
});
