/**
 * Where the writing thread's module is, as `Worker` takes it: beside this file. In the package for npm the build puts another file in
 * the place of this one, which holds the module's whole text: a bundle has no file beside it.
 */
export function workerModule(): URL {
  const name = import.meta.url.endsWith(".ts") ? "./worker.ts" : "./worker.js";
  const beside = new URL(name, import.meta.url);
  if (beside.protocol === "file:") return beside;
  // Deno starts no node:worker_threads worker at a remote module, but lets a `data:` module import one.
  return new URL(`data:text/javascript,${encodeURIComponent(`import ${JSON.stringify(beside.href)};`)}`);
}
