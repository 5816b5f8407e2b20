import { resolve } from "node:path";
import { checkedRetention, type OpenStorage, type Retention, type Storage } from "../../src/ports/storage.ts";
import { PeykError } from "../../src/protocol/errors.ts";
import type { WriterFaults } from "./commands.ts";
import { toError } from "./failure.ts";
import { SqliteLogs } from "./logs.ts";
import { realPath } from "./open_file.ts";
import { SqliteOutbox } from "./outbox.ts";
import { Reader } from "./reader.ts";
import { SqliteUsers } from "./users.ts";
import { SqliteWork } from "./work.ts";
import { Writer } from "./writer.ts";

/** `sqlite` on a disk that may be slow, full or failing: for tests and benchmarks. Not exported by the package. */
export function sqliteWith(path: string, retention: Retention, faults: WriterFaults): Storage {
  const { maxEntries, idempotencyMs } = checkedRetention(retention);
  if (typeof path !== "string" || path === "" || path.startsWith(":") || path.includes("\0")) {
    throw new PeykError("bad-config", "sqlite: not the path of a file", {
      hint: 'Name a file, like "peyk.db". To keep nothing use memory().',
    });
  }
  return {
    async open(context): Promise<OpenStorage> {
      const file = realPath(path);
      // Of this life of all logs. Within 32 bits: it travels with every entry, and msgpack takes 5 bytes for that instead of 9.
      const newEpoch = 1 + Math.floor(context.random.fraction() * 0xffff_ffff);
      const askedFor = resolve(path);
      const now = Math.floor(context.clock.now());
      const { writer, epoch } = await Writer.open({
        path: file,
        askedFor,
        maxEntries,
        idempotencyMs,
        epoch: newEpoch,
        now,
        faults,
      });
      let reader: Reader | undefined;
      try {
        const read = reader = new Reader(file);
        writer.whenBroken((why) => {
          context.logger.error("the sqlite storage writes nothing more until it is opened again", { path, error: toError(why) });
          if (why.code === "storage-lost") read.lose(why);
        });
        return read.now(() => {
          const work = new SqliteWork(context, epoch, writer, read);
          const logs = new SqliteLogs(context, epoch, writer, read, work);
          const users = new SqliteUsers(context, writer, read);
          return {
            transport: logs,
            history: logs,
            work,
            users,
            outbox: new SqliteOutbox(context, writer, read),
            heldBytes: () => users.heldBytes,
            async close() {
              await work.close();
              read.close();
              await writer.close();
            },
          };
        });
      } catch (error) {
        reader?.close();
        await writer.close();
        throw error;
      }
    },
  };
}
