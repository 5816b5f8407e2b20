import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { runCase, storageCases } from "../../adapters/conformance/conformance.ts";
import { sqlite } from "../../adapters/sqlite/sqlite.ts";
import { createFolder } from "./folder.ts";

const { path: folder, remove } = createFolder();
afterAll(remove);

describe("the sqlite storage", () => {
  let files = 0;
  for (const one of storageCases()) {
    test(`${one.port} ${one.name}`, async () => {
      expect(await runCase(one, (retention) => sqlite(join(folder, `${++files}.db`), { retention }))).toBe("passed");
    });
  }
});
