import { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";

// Counts the rows of the outbox over a connection of its own, on a thread of its own: counting many takes a while.

const EVERY_MS = 200;

const db = new DatabaseSync(String(workerData), { readOnly: true });
const pending = db.prepare("SELECT count(*) AS n FROM push WHERE status = 'pending'");
let mostPending = 0;

function look(): void {
  const started = performance.now();
  mostPending = Math.max(mostPending, Number(pending.get()!.n));
  setTimeout(look, Math.max(EVERY_MS, 5 * (performance.now() - started)));
}

look();
parentPort!.postMessage("looking");
parentPort!.on("message", () => {
  const { n } = db.prepare("SELECT count(*) AS n FROM push").get()!;
  parentPort!.postMessage({ mostPending, all: Number(n) });
});
