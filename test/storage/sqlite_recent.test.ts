import { expect, test } from "vitest";
import { user } from "../../adapters/conformance/records.ts";
import { sqlite } from "../../adapters/sqlite/sqlite.ts";
import { createFiles, open } from "./sqlite_stage.ts";

const { newPath } = createFiles();

test("a user's record is read as it was written last, also when it was read in the middle of a write", async () => {
  const { users, close } = await open(sqlite(newPath()));
  let version = (await users.put(user("sara")))!;
  for (let seenAt = 1; seenAt < 20; seenAt++) {
    expect((await users.get("sara"))?.version).toBe(version);
    const writing = users.put(user("sara", { version, seenAt }));
    // Of two at the same time one is refused.
    const refused = users.put(user("sara", { version, seenAt: 1_000 }));
    expect([seenAt - 1, seenAt]).toContain((await users.get("sara"))?.seenAt);
    version = (await writing)!;
    expect((await users.get("sara"))?.seenAt).toBe(seenAt);
    expect(await refused).toBeUndefined();
  }
  expect(await users.remove("sara", version)).toBe(true);
  expect(await users.get("sara")).toBeUndefined();
  await close();
});
