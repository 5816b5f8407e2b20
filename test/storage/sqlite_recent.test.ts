import { expect, test } from "vitest";
import { asStored, session, user } from "../../adapters/conformance/records.ts";
import { RecentUsers } from "../../adapters/sqlite/recent_users.ts";
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

test("records are remembered within a bound, those of the first users go, and what is written is forgotten at once", async () => {
  const recent = new RecentUsers();
  const names = Array.from({ length: 1_500 }, (_, index) => `user ${index}`);
  for (const name of names) recent.add(user(name), 4_000);
  for (const name of names) recent.add(user(name), 4_000);
  expect(names.filter((name) => recent.get(name) !== undefined)).toEqual(names.slice(-892));
  expect(recent.bytes).toBeLessThanOrEqual(8 * 1024 * 1024);
  await recent.write(names.at(-1)!, () => Promise.resolve());
  for (let index = 0; index < 3_000; index++) recent.add(user(`short ${index}`), 10);
  const short = Array.from({ length: 3_000 }, (_, index) => `short ${index}`).filter((name) => recent.get(name) !== undefined);
  expect([short.length, short[0], recent.get(names.at(-1)!)]).toEqual([2_000, "short 1000", undefined]);
  for (const name of short) await recent.write(name, () => Promise.resolve());
  expect(recent.bytes).toBe(0);
});
