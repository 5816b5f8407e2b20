import { expect, onTestFinished, test } from "vitest";
import { createEngine } from "../../mod.ts";
import { connect, type Status } from "../../src/client/client.ts";
import { serve } from "./real_server.ts";

// Engines that take small frames only, over real sockets.

test.each([1_024, 4_096])(
  "with limits.frameBytes %i and 100 long topics a client reads, acks and resumes",
  async (frameBytes) => {
    const { engine, url } = await serve({ limits: { frameBytes } });
    const rooms = Array.from({ length: 100 }, (_, i) => ({ to: "*", channel: `${"r".repeat(125)}${i}`.slice(-128) }));
    for (const room of rooms) await engine.subscribe("sara", room);
    const items = new Map<string, string>();
    const storage = { get: (key: string) => items.get(key), set: (key: string, value: string) => void items.set(key, value) };
    const got: string[] = [];
    for (const life of [1, 2, 3]) {
      const peyk = connect(url, { token: "sara", storage });
      const ended = Promise.withResolvers<void>();
      const connected = Promise.withResolvers<void>();
      peyk.onStatus(({ state }) => {
        if (state === "connected") connected.resolve();
        if (state === "closed") ended.reject(new Error("closed for good"));
      });
      const all = Promise.withResolvers<void>();
      peyk.onMessage(({ content }) => {
        got.push(content!);
        if (got.length === life * rooms.length) all.resolve();
      });
      await Promise.race([connected.promise, ended.promise]);
      for (const room of rooms) await engine.publish({ ...room, content: `${life} ${room.channel}` });
      await Promise.race([all.promise, ended.promise]);
      ended.promise.catch(() => {});
      await peyk.close();
    }
    expect(new Set(got).size).toBe(got.length);
  },
);

test("a token that does not fit ends the client with a reason and a hint", async () => {
  const { url } = await serve({ limits: { frameBytes: 4_096 } });
  const peyk = connect(url, { token: "x".repeat(5_000) });
  onTestFinished(() => peyk.close());
  const last = await new Promise<Status>((resolve) => peyk.onStatus((status) => status.state === "closed" && resolve(status)));
  expect(last).toMatchObject({ reason: "tooLarge", hint: expect.stringContaining("token") });
});

test("a limit in which a client can't say how far it is is refused, with the least value and why", async () => {
  await expect(createEngine({ insecure: true, limits: { frameBytes: 1_023 } })).rejects.toMatchObject({
    code: "bad-config",
    message: expect.stringContaining("1024"),
    hint: expect.stringContaining("Clients"),
  });
});
