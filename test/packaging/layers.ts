import { importsOf, parse, type SourceTree, target } from "./source_tree.ts";

interface Layer {
  name: string;
  /** A file, or a folder with its `/`. */
  path: string;
  /** The layers it may import from, beside itself. */
  on: string[];
  /** The packages it may import from. */
  packages: string[];
}

const below = ["protocol", "ports"];
const deciding = [...below, "reading", "session"];
const moving = [...deciding, "delivery", "push"];
const facing = [
  ...moving,
  "explained_event",
  "explain",
  "explained_stretch",
  "explanation_book",
  "explained_message",
  "cluster",
  "sessions",
  "subscription_info",
  "housekeeping",
  "gateway",
];

/** DESIGN's table of layers: what is not named here may not be imported, and a file without a layer may not be. */
const layers: Layer[] = [
  { name: "protocol", path: "src/protocol/", on: [], packages: [] },
  { name: "ports", path: "src/ports/", on: ["protocol"], packages: [] },
  { name: "memory", path: "src/memory/", on: below, packages: [] },
  { name: "reading", path: "src/reading/", on: below, packages: [] },
  { name: "session", path: "src/session/", on: ["protocol"], packages: ["xstate"] },
  { name: "delivery", path: "src/delivery/", on: moving, packages: [] },
  { name: "push", path: "src/push/", on: moving, packages: [] },
  { name: "explained_event", path: "src/explained_event.ts", on: moving, packages: [] },
  { name: "explain", path: "src/explain.ts", on: facing, packages: [] },
  { name: "explained_stretch", path: "src/explained_stretch.ts", on: facing, packages: [] },
  { name: "explanation_book", path: "src/explanation_book.ts", on: facing, packages: [] },
  { name: "explained_message", path: "src/explained_message.ts", on: facing, packages: [] },
  { name: "cluster", path: "src/cluster/", on: facing, packages: [] },
  { name: "sessions", path: "src/sessions.ts", on: facing, packages: [] },
  { name: "subscription_info", path: "src/subscription_info.ts", on: facing, packages: [] },
  { name: "housekeeping", path: "src/housekeeping.ts", on: facing, packages: [] },
  { name: "gateway", path: "src/gateway/", on: facing, packages: [] },
  { name: "system", path: "src/system.ts", on: below, packages: [] },
  { name: "late_timers", path: "src/late_timers.ts", on: below, packages: [] },
  { name: "steady_clock", path: "src/steady_clock.ts", on: below, packages: [] },
  { name: "calm_logger", path: "src/calm_logger.ts", on: below, packages: [] },
  { name: "every_step", path: "src/every_step.ts", on: [], packages: [] },
  { name: "options", path: "src/engine_options.ts", on: facing, packages: [] },
  { name: "subscribe_options", path: "src/subscribe_options.ts", on: ["protocol"], packages: [] },
  {
    name: "engine",
    path: "src/create_engine.ts",
    on: [
      ...facing,
      "options",
      "subscribe_options",
      "memory",
      "system",
      "late_timers",
      "steady_clock",
      "calm_logger",
      "every_step",
    ],
    packages: [],
  },
  { name: "client", path: "src/client/", on: ["protocol"], packages: [] },
  { name: "mod", path: "mod.ts", on: [...facing, "options", "subscribe_options", "memory", "engine"], packages: [] },
];

/** What the server adapters share, and what the push providers do. */
const shared: Layer[] = ["adapters/gateway", "adapters/push_service"].map((name) => ({
  name,
  path: `${name}/`,
  on: below,
  packages: [],
}));

/** Each adapter stands alone: `adapters/x.ts` and `adapters/x/` are one, and it may use node: modules and what npm installs. */
function adapterOf(path: string, dependencies: string[]): Layer | undefined {
  const name = /^adapters\/[^/]+?(?=\/|\.ts$)/.exec(path)?.[0];
  if (name === undefined) return undefined;
  const base = shared.find((layer) => layer.name === name) ??
    { name, path: name, on: [...below, ...shared.map((layer) => layer.name), ...onTopOf(name)] };
  return { ...base, packages: [...dependencies, "node:"] };
}

/** JetStream is a part of NATS: what speaks to the one builds on what speaks to the other. */
function onTopOf(name: string): string[] {
  return name === "adapters/jetstream" ? ["adapters/nats"] : [];
}

function layerOf(path: string, dependencies: string[]): Layer | undefined {
  return layers.find((layer) => path === layer.path || (layer.path.endsWith("/") && path.startsWith(layer.path))) ??
    adapterOf(path, dependencies);
}

/** The package a bare specifier names; `node:` for Node's own modules. */
function packageOf(specifier: string): string {
  if (specifier.startsWith("node:")) return "node:";
  return specifier.split("/").slice(0, specifier.startsWith("@") ? 2 : 1).join("/");
}

/** Every import that breaks the table, as `file:line: what`. `dependencies` are the packages that npm installs with ours. */
export function layerFaults(tree: SourceTree, dependencies: string[]): string[] {
  const faults: string[] = [];
  for (const [path, text] of tree) {
    const layer = layerOf(path, dependencies);
    if (layer === undefined) {
      faults.push(`${path}: has no place in the table of layers`);
      continue;
    }
    for (const { line, specifier } of importsOf(parse(path, text))) {
      const at = `${path}:${line}`;
      const to = target(path, specifier);
      if (to === undefined) {
        if (!layer.packages.includes(packageOf(specifier))) faults.push(`${at}: ${layer.name} may not import ${specifier}`);
        continue;
      }
      const other = layerOf(to, dependencies);
      if (!tree.has(to) || other === undefined) faults.push(`${at}: ${specifier} is no published file`);
      else if (other.name !== layer.name && !layer.on.includes(other.name)) {
        faults.push(`${at}: ${layer.name} may not import ${other.name}`);
      }
    }
  }
  return faults;
}
