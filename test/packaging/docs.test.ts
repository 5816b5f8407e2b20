import { globSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Page, typeFaults } from "./markdown.ts";
import { root } from "./source_tree.ts";

/** The longest the type checker may take, milliseconds. */
const WAIT = 120_000;

const pages = globSync("docs/**/*.md", { cwd: root }).sort().map((path) => new Page(path));

test("the docs link to nothing that is not there", () => {
  expect(pages.map(({ path }) => path)).toContain("docs/push-providers.md");
  expect(pages.flatMap((page) => page.linkFaults())).toEqual([]);
});

test("the docs hold only code that type-checks against the sources", () => {
  const files = new Map(
    pages.flatMap((page) =>
      page.modules().map((code, index) => {
        const name = page.path.replaceAll(/\W/g, "_");
        return [join(root, `${name}_${index}.ts`), code] as const;
      })
    ),
  );
  expect(files.size).toBeGreaterThanOrEqual(8);
  expect(typeFaults(files)).toEqual([]);
}, WAIT);
