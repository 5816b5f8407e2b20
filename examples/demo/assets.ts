import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** A file as it goes over HTTP. */
export interface Asset {
  readonly type: string;
  readonly body: string | Uint8Array;
}

const here = new URL("./page/", import.meta.url);

/** Everything the page consists of, by path. Scripts and styles are bundled here and now, with the client as it stands in this checkout. */
export async function loadAssets(): Promise<ReadonlyMap<string, Asset>> {
  const [stage, solo, icon] = await Promise.all(
    ["index.html", "solo.html", "icon.svg"].map((name) => readFile(new URL(name, here))),
  );
  const bundled = await build({
    entryPoints: ["main.ts", "solo.ts", "style.css"].map((name) => fileURLToPath(new URL(name, here))),
    outdir: "/",
    write: false,
    bundle: true,
    format: "esm",
    target: "es2022",
    conditions: ["peyk-source"],
  });
  return new Map<string, Asset>([
    ["/", { type: "text/html; charset=utf-8", body: stage! }],
    ["/solo", { type: "text/html; charset=utf-8", body: solo! }],
    ["/icon.svg", { type: "image/svg+xml", body: icon! }],
    ...bundled.outputFiles.map(({ path, contents }): [string, Asset] => {
      const [, name, kind] = /([^/\\]+\.(js|css))$/.exec(path)!;
      return [`/${name}`, { type: `text/${kind === "js" ? "javascript" : "css"}; charset=utf-8`, body: contents }];
    }),
  ]);
}
