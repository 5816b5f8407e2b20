import { parentPort, workerData } from "node:worker_threads";
import { Batches } from "./batches.ts";
import type { Reply, Request, WriterOptions } from "./commands.ts";
import { classify } from "./failure.ts";
import { type OpenFile, openFile } from "./open_file.ts";

/** The writing thread: one batch, one transaction, one sync. */
function serve(options: WriterOptions): void {
  const reply = (message: Reply) => parentPort!.postMessage(message);
  let file: OpenFile;
  let batches: Batches;
  try {
    file = openFile(options.path, options.epoch, options.now, options.faults, options.askedFor);
    try {
      batches = new Batches(file, options);
    } catch (error) {
      file.close();
      throw error;
    }
  } catch (error) {
    return reply({ kind: "refused", failure: classify(error, options.path, "storage-corrupt") });
  }
  parentPort!.on("message", (request: Request) => {
    if (request !== "close") return reply({ kind: "done", outcomes: batches.write(request), broken: batches.broken });
    try {
      file.close();
    } catch {
      // nothing is lost: what was answered is synced, and the next open tidies up
    }
    reply({ kind: "closed" });
  });
  reply({ kind: "opened", epoch: file.epoch });
}

serve(workerData as WriterOptions);
