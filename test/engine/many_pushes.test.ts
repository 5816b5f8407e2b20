import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { session, user } from "../../adapters/conformance/records.ts";
import { sqlite } from "../../adapters/sqlite/sqlite.ts";
import { createEngine } from "../../mod.ts";
import { createFiles, open } from "../storage/sqlite_stage.ts";
import { FakeProvider } from "./stage.ts";

const { newPath } = createFiles();
const topic = "*/news";

test.each([400, 600, 800])(
  "a message to %i away users on sqlite: every push leaves, though the provider answers at once",
  async (count) => {
    const path = newPath();
    const storage = await open(sqlite(path));
    const names = Array.from({ length: count }, (_, index) => `user ${index}`);
    await Promise.all(names.map((name) => {
      const targets = [{ id: name, provider: "fake", token: name, registeredAt: 1 }];
      const away = session(name, { targets });
      return storage.users.put(user(name, { subscriptions: { [topic]: { epoch: 0, offset: 0 } }, sessions: [away] }), "both");
    }));
    await storage.close();

    const provider = new FakeProvider();
    const engine = await createEngine({ insecure: true, push: [provider], storage: sqlite(path) });
    await engine.publish({ to: "*", channel: "news", content: "hi" });
    while (engine.counters().pushesSent < count) await setImmediate();
    expect(new Set(provider.tokens).size).toBe(count);
    expect(provider.sent).toHaveLength(count);
    await engine.close();
  },
);
