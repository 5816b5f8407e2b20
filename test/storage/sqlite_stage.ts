import { join } from "node:path";
import { afterAll, expect } from "vitest";
import { createManualClock } from "../../adapters/conformance/conformance.ts";
import { sqlite } from "../../adapters/sqlite/sqlite.ts";
import type { Logger } from "../../src/ports/logger.ts";
import type { OpenStorage, Storage } from "../../src/ports/storage.ts";
import type { Appended } from "../../src/ports/transport.ts";
import { createFolder } from "./folder.ts";

/** A test file's own folder, gone when its tests are, and names in it that are not taken. */
export function createFiles(): { folder: string; newPath(): string } {
  const { path, remove } = createFolder();
  afterAll(remove);
  let files = 0;
  return { folder: path, newPath: () => join(path, `${++files}.db`) };
}

const silent: Logger = { info() {}, warn() {}, error() {} };

export function open(storage: Storage, clock = createManualClock(), logger = silent): Promise<OpenStorage> {
  const random = { id: () => crypto.randomUUID(), fraction: Math.random };
  return storage.open({ clock, logger, random });
}

export function publish({ transport }: OpenStorage, key: string, size = 1): Promise<Appended> {
  return transport.publish("sara/default", new Uint8Array(size), { key, expiresAt: 1e15 });
}

/** What opening is refused with, the hint checked; `opened` when it is not. */
export async function refusal(path: string): Promise<string> {
  try {
    const storage = await open(sqlite(path));
    await storage.close();
  } catch (error) {
    expect(error).toMatchObject({ name: "PeykError", hint: expect.stringMatching(/\S/) });
    return (error as { code: string }).code;
  }
  return "opened";
}
