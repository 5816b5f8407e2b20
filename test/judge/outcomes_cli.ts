/** Writes docs/outcomes.md. */
import { mkdirSync, writeFileSync } from "node:fs";
import { outcomesPage } from "./outcomes_page.ts";

const folder = new URL("../../docs/", import.meta.url);
mkdirSync(folder, { recursive: true });
writeFileSync(new URL("outcomes.md", folder), outcomesPage());
