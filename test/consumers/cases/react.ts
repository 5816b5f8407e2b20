import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Page } from "../../packaging/markdown.ts";
import { type Tab, visit } from "../browser.ts";
import type { Consumer } from "../consumer.ts";
import type { Project } from "../project.ts";

/** A page with the component that docs/client.md shows, in StrictMode. */
export const consumers: Consumer[] = [
  {
    name: "react",
    shows: "the component of docs/client.md in StrictMode: built by Vite, and in development with hot reload, in chromium",
    packages: ["react@19.3.1", "react-dom@19.3.1", "vite@8.3.8", "@vitejs/plugin-react@6.3.0"],
    async run(project) {
      const [component, ...others] = new Page("docs/client.md").blocks("jsx");
      if (component === undefined || others.length > 0) throw new Error("docs/client.md shows no component, or several");
      project.take("react", ".");
      project.write("src/messages.jsx", component);
      await project.run("vite", "build");
      await visit(project, comesAndGoes, project.node, "server.mjs");
      await visit(
        project,
        async (tab) => {
          await comesAndGoes(tab);
          await reloads(project, tab);
        },
        project.node,
        "server.mjs",
        "dev",
      );
      return "React 19.3.1, Vite 8.3.8";
    },
  },
];

/** One connection while the component is there, and none while it is not; what comes meanwhile is shown when it is back. */
async function comesAndGoes(tab: Tab): Promise<void> {
  const button = tab.page.locator("button");
  for (const content of ["1", "2", "3"]) await publish(tab, content);
  await tab.shows(["1", "2", "3"]);
  await tab.untilOpen("/peyk", 1);
  await button.click();
  await tab.untilOpen("/peyk", 0);
  let states = await publish(tab, "4");
  while (states !== `["disconnected.away"]`) states = await publish(tab, "");
  await publish(tab, "5");
  await button.click();
  await tab.shows(["4", "5"]);
  await tab.untilOpen("/peyk", 1);
}

/** Hot reload runs the effect again and keeps the state: messages that come meanwhile are shown once, in order. */
async function reloads(project: Project, tab: Tab): Promise<void> {
  const file = join(project.folder, "src/messages.jsx");
  const texts = ["4", "5"];
  for (let round = 1; round <= 3; round++) {
    writeFileSync(file, readFileSync(file, "utf8").replace(/<ul.*?>/, `<ul title="${round}">`));
    let reloaded = false;
    const waiting = tab.page.waitForSelector(`ul[title="${round}"]`).then(() => reloaded = true);
    while (!reloaded) {
      texts.push(String(texts.length + 4));
      await publish(tab, texts.at(-1)!);
    }
    await waiting;
  }
  await tab.shows(texts);
  await tab.untilOpen("/peyk", 1);
}

/** @returns the states of the sessions afterwards, as JSON */
async function publish(tab: Tab, content: string): Promise<string> {
  const answer = await fetch(tab.page.url(), { method: "POST", body: content });
  return await answer.text();
}
