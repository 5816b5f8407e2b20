import { expect, test } from "vitest";
import { asStored, session, user } from "../../adapters/conformance/records.ts";
import { sqlite } from "../../adapters/sqlite/sqlite.ts";
import { createFiles, open } from "./sqlite_stage.ts";

const { newPath } = createFiles();

test.each(["devices", "positions", "both"] as const)(
  "a user's record is read as it was written last, also when it was read in the middle of a write of its %s",
  async (parts) => {
    const { users, close } = await open(sqlite(newPath()));
    let record = asStored(user("sara"), (await users.put(user("sara"), "both"))!);
    for (let step = 1; step < 20; step++) {
      expect(await users.get("sara")).toEqual(record);
      const of = (read: number) => {
        const handled = { "sara/default": { epoch: 1, read, ranges: [] } };
        return {
          ...record,
          ...parts === "positions" ? {} : { sessions: [session(`device ${read}`)] },
          ...parts === "devices" ? {} : { positions: { ...record.positions, handled } },
        };
      };
      const writing = users.put(of(step), parts);
      // Of two at the same time one is refused.
      const refused = users.put(of(1_000), parts);
      const between = (await users.get("sara"))!;
      const versions = (await writing)!;
      expect([record, asStored(of(step), versions)]).toContainEqual(between);
      record = asStored(of(step), versions);
      expect(await users.get("sara")).toEqual(record);
      expect(await refused).toBeUndefined();
    }
    expect(await users.remove("sara", record.version)).toBe(true);
    expect(await users.get("sara")).toBeUndefined();
    await close();
  },
);
