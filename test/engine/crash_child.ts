// An engine of its own process on a sqlite file, for the test that kills it. Publishes as fast as it can and prints each id once
// its receipt is durable.
import { argv, stdout } from "node:process";
import { sqlite } from "../../adapters/sqlite/sqlite.ts";
import { createEngine } from "../../mod.ts";

const engine = await createEngine({ insecure: true, storage: sqlite(argv[2]!) });
for (let round = 0;; round++) {
  const receipts = await Promise.all(
    Array.from({ length: 50 }, (_, i) => engine.publish({ to: "sara", content: `${round}.${i}` })),
  );
  stdout.write(receipts.map(({ id, durable, position }) => `${id} ${durable} ${position!.offset}\n`).join(""));
}
