import { afterEach, describe, expect, test } from "vitest";
import { memory, type OutboxRow, type Storage } from "../../mod.ts";
import { createStage, type Device, type Stage } from "./stage.ts";

const MEMBERS = 40;
const stages: Stage[] = [];

afterEach(async () => {
  for (const { engine } of stages.splice(0)) await engine.close();
});

/** A storage that says what is looked at of rows and logs. */
function watched(): { storage: Storage; rows: OutboxRow[]; reads: number[] } {
  const rows: OutboxRow[] = [];
  const reads: number[] = [];
  const storage: Storage = {
    async open(context) {
      const opened = await memory().open(context);
      const { history, outbox } = opened;
      return {
        ...opened,
        history: { read: (...asked) => (reads.push(asked[1]), history!.read(...asked)) },
        outbox: new Proxy(outbox, {
          get(target, name) {
            if (name !== "ofMessage") return (Reflect.get(target, name) as (...asked: unknown[]) => unknown).bind(target);
            return async (...asked: Parameters<typeof outbox.ofMessage>) => {
              const found = await outbox.ofMessage(...asked);
              rows.push(...found);
              return found;
            };
          },
        }),
      };
    },
  };
  return { storage, rows, reads };
}

/** A room in which everybody was pushed a message, and has come back since. */
async function room(): Promise<
  ReturnType<typeof watched> & { devices: Device[]; mark(kind: "read" | "dismissed"): Promise<void> }
> {
  const seen = watched();
  const stage = await createStage({ storage: seen.storage });
  stages.push(stage);
  const { clock, engine, provider } = stage;
  for (let index = 0; index < MEMBERS; index++) {
    await engine.subscribe(`${index}`, { to: "*", channel: "room" });
    (await stage.device(`${index}`, { token: `${index}` })).leave();
  }
  await clock.settle();
  const { topic, position } = await engine.publish({ to: "*", channel: "room", content: "hi" });
  await clock.advance(1_000);
  expect(provider.sent).toHaveLength(MEMBERS);
  const devices: Device[] = [];
  for (let index = 0; index < MEMBERS; index++) devices.push(await stage.device(`${index}`));
  seen.reads.length = 0;
  return {
    ...seen,
    devices,
    async mark(kind) {
      for (const device of devices) {
        expect(await device.request({ type: "mark", ref: 0, kind, topic, ...position! })).toMatchObject({ type: "ok" });
      }
    },
  };
}

describe.each(["read", "dismissed"] as const)("a message that all of a room mark as %s", (kind) => {
  test("is read from the log once, and each mark looks at its own user's rows only", async () => {
    const { mark, reads, rows } = await room();
    await mark(kind);
    expect(reads).toHaveLength(1);
    expect(rows.map(({ userId }) => userId)).toEqual(
      kind === "read" ? [] : Array.from({ length: MEMBERS }, (_, index) => `${index}`),
    );
  });
});
