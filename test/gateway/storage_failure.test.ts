import process from "node:process";
import { expect, onTestFinished, test } from "vitest";
import { memory, PeykError, type Storage } from "../../mod.ts";
import { createBench } from "./wire.ts";

type Part = "transport" | "history" | "users";

/** In memory, with calls that can be made to fail for a while. */
function failing(): { storage: Storage; broken: Set<string> } {
  const broken = new Set<string>();
  const guarded = <Target extends object>(part: Part, target: Target): Target =>
    new Proxy(target, {
      get(inner, name) {
        const value = Reflect.get(inner, name);
        if (typeof value !== "function") return value;
        return (...given: unknown[]) =>
          broken.has(`${part}.${String(name)}`)
            ? Promise.reject(new PeykError("unavailable", "the disk is gone", { retryable: true }))
            : value.apply(inner, given);
      },
    });
  const storage: Storage = {
    async open(parts) {
      const opened = await memory({ retention: { maxEntries: 2 } }).open(parts);
      return {
        ...opened,
        transport: guarded("transport", opened.transport),
        history: guarded("history", opened.history!),
        users: guarded("users", opened.users),
      };
    },
  };
  return { storage, broken };
}

test.each(["transport.subscribe", "history.read", "users.get", "users.put", "users.holders"])(
  "a storage that fails in %s while a client attaches puts it off with an error and 4005, and it gets in later",
  async (call) => {
    const rejections: unknown[] = [];
    const rejected = (reason: unknown): void => void rejections.push(reason);
    process.on("unhandledRejection", rejected);
    onTestFinished(() => void process.off("unhandledRejection", rejected));

    const { storage, broken } = failing();
    const { clock, engine, open } = await createBench({ storage });
    for (const channel of ["a", "b", "c"]) await engine.subscribe("sara", { to: "*", channel });
    for (let i = 0; i < 4; i++) await engine.publish({ to: "*", channel: "a", content: `${i}` });
    broken.add(call);
    const refused = await open("sara");
    await clock.settle();
    expect(refused.closedWith).toBe(4005);
    expect(refused.of("error").every(({ code, retryable }) => code === "unavailable" && retryable)).toBe(true);
    expect(rejections).toEqual([]);
    broken.clear();
    const sara = await open("sara");
    await engine.publish({ to: "*", channel: "b", content: "again" });
    await clock.settle();
    expect(sara.contents).toContain("again");
    expect(engine.counters()).toMatchObject({ connections: 1, sessions: 1 });
  },
);
