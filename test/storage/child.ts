/** A process that uses a sqlite storage, for tests that kill it or look at how it ends. `child.ts <what> <path>`. */
import { execFileSync } from "node:child_process";
import { writeSync } from "node:fs";
import { createManualClock } from "../../adapters/conformance/conformance.ts";
import { asStored, newRow, user } from "../../adapters/conformance/records.ts";
import { sqlite } from "../../adapters/sqlite/sqlite.ts";

const [what, path] = process.argv.slice(2) as [string, string];
const random = { id: () => crypto.randomUUID(), fraction: Math.random };
const storage = await sqlite(path).open({ clock: createManualClock(), logger: console, random }).catch((error) => {
  say(error.code);
  process.exit(1);
});

if (what === "hold") {
  say("opened");
  setInterval(() => {}, 1_000);
}
if (what === "leave" || what === "close") {
  await storage.transport.publish("sara/default", Uint8Array.of(1), { key: "key", expiresAt: 1e15 });
  if (what === "close") await storage.close();
  say("done");
}
if (what === "fill") {
  for (let size = 1_000;; size++) {
    const options = { key: `key ${size}`, expiresAt: 1e15 };
    try {
      await storage.transport.publish("sara/default", new Uint8Array(size), options);
    } catch (error) {
      say(`refused ${(error as { code: string }).code}`);
      break;
    }
    say(`accepted ${size}`);
  }
}
if (what === "refill") {
  for (let refused = 0, size = 20_000; refused < 3; size++) {
    const bytes = new Uint8Array(size);
    const publish = (part: string) =>
      storage.transport.publish("sara/default", bytes, { key: `${part} ${size}`, expiresAt: 1e15 });
    try {
      await Promise.all([publish("a"), publish("b")]);
    } catch (error) {
      say(`refused ${(error as { code: string }).code}`);
      refused++;
      continue;
    }
    say(`accepted ${size}`);
  }
  execFileSync("prlimit", ["--pid", `${process.pid}`, "--fsize=unlimited"]);
  await storage.transport.publish("sara/default", new Uint8Array(1), { key: "room again", expiresAt: 1e15 });
  say("accepted 1");
  process.exit(0);
}
if (what === "write") {
  for (let publisher = 0; publisher < 16; publisher++) void publish(publisher);
  void put();
}

/** Says of each entry that it was accepted, once it was. */
async function publish(publisher: number): Promise<void> {
  for (let index = 0;; index++) {
    const key = `${publisher}-${index}`;
    const { position } = await storage.transport.publish(`user-${publisher}/default`, new TextEncoder().encode(key), {
      key,
      expiresAt: 1e15,
    });
    say(`entry ${publisher} ${position!.epoch} ${position!.offset} ${key}`);
  }
}

async function put(): Promise<void> {
  let record = user("sara");
  for (let index = 0;; index++) {
    const next = { ...record, seenAt: index };
    record = asStored(next, (await storage.users.put(next, "both", [newRow(`row-${index}`, { messageId: "m" })]))!);
    say(`row row-${index}`);
  }
}

/** Writes a line before it returns, so that a kill can't come between. */
function say(line: string): void {
  while (true) {
    try {
      writeSync(1, `${line}\n`);
      return;
    } catch (error) {
      // The pipe is full until the other side reads.
      if ((error as { code?: string }).code !== "EAGAIN") throw error;
    }
  }
}
