import { expect, test } from "vitest";
import { memory, type OpenStorage, type Storage, type UserParts, type UserRecord } from "../../mod.ts";
import { createLives, type Lives } from "./lives.ts";

/** What a store was given to write. */
interface Given {
  readonly parts: UserParts;
  readonly bytes: number;
}

/** Sara with so many devices that are away, and a storage that survives a crash. */
async function away(devices: number): Promise<{ lives: Lives; given: Given[] }> {
  const given: Given[] = [];
  const storage: Storage = {
    async open(context) {
      const opened = await memory().open(context);
      const { transport, users } = opened;
      const put: OpenStorage["users"]["put"] = (record, parts, rows) => {
        given.push({ parts, bytes: sizeOf(record, parts) });
        return users.put(record, parts, rows);
      };
      const over = <Port extends object>(port: Port, fields: Partial<Port>): Port =>
        new Proxy(port, {
          get(target, name) {
            if (name in fields) return fields[name as keyof Port];
            const value = Reflect.get(target, name, target) as unknown;
            return typeof value === "function" ? value.bind(target) : value;
          },
        });
      return { ...opened, transport: over(transport, { durable: true }), users: over(users, { put }) };
    },
  };
  const lives = await createLives({ storage });
  for (let index = 0; index < devices; index++) {
    (await lives.sara(`device ${index}`, { token: `token ${index}`.padEnd(160, "-") })).leave();
    await lives.clock.settle();
  }
  await lives.clock.advance(2_000);
  given.length = 0;
  return { lives, given };
}

function sizeOf({ positions, ...devices }: UserRecord, parts: UserParts): number {
  return JSON.stringify(parts === "devices" ? devices : parts === "positions" ? positions : [devices, positions]).length;
}

test("an ack writes how far the user's 50 devices are, and not the devices", async () => {
  const { lives, given } = await away(49);
  await lives.sara("laptop", { attended: true });
  await lives.clock.advance(2_000);
  given.length = 0;
  await lives.say("hi", { inApp: true });
  await lives.clock.advance(2_000);
  // It is decided for those who are away, and it is acked.
  expect(given.map(({ parts }) => parts)).toEqual(["positions", "positions"]);
  // A hundred bytes for each device and topic: their targets alone would be twice that.
  for (const { bytes } of given) expect(bytes).toBeLessThan(50 * 120);
});

test("a device that comes back with nothing new writes the devices, and not how far all of them are", async () => {
  const { lives, given } = await away(3);
  const phone = await lives.sara("device 0");
  expect(phone.of("welcome").length).toBe(1);
  expect(given.map(({ parts }) => parts)).toEqual(["devices"]);
});

test("a device that signs out, or has to go for another, leaves nothing of how far it was", async () => {
  const left: string[][] = [];
  let opened: OpenStorage | undefined;
  const storage: Storage = {
    open: async (context) => opened = await memory().open(context),
  };
  const lives = await createLives({ storage, limits: { devices: 2 } });
  const note = async (): Promise<void> => void left.push(Object.keys((await opened!.users.get("sara"))!.positions.progress));
  for (const deviceId of ["first", "second", "third"]) {
    (await lives.sara(deviceId)).leave();
    await lives.clock.advance(1_000);
    await note();
  }
  await (await lives.sara("third")).request({ type: "logout", ref: 7 });
  await note();
  expect(left).toEqual([["first"], ["first", "second"], ["second", "third"], ["second"]]);
});
