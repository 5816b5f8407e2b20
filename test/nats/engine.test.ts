import { describe, expect, test } from "vitest";
import { nats } from "../../adapters/nats/nats.ts";
import { memory } from "../../mod.ts";
import { createStage, type Device } from "../engine/stage.ts";
import { clients } from "./clients.ts";
import { until } from "./node.ts";
import { startServer } from "./servers.ts";

describe.each(Object.keys(clients))("over %s", (client) => {
  test("two engines deliver each other's messages to whoever is connected, and recover nothing", async () => {
    await using server = await startServer();
    const connections = await Promise.all([1, 2].map(() => clients[client]!({ servers: server.url })));
    const [one, two] = await Promise.all(
      connections.map((connection) => createStage({ storage: nats({ connection, storage: memory() }) })),
    );

    const sara = await welcomed(await two!.device("sara"));
    const omid = await welcomed(await one!.device("omid"));
    const receipt = await one!.engine.publish({ to: "sara", content: "Hello" });
    expect(receipt).toMatchObject({ position: undefined, durable: false, durability: "memory", duplicate: false });
    await until(() => sara.contents.length > 0);
    await two!.engine.publish({ to: "sara", content: "from her own node" });
    await one!.engine.subscribe("omid", { to: "*", channel: "news" });
    await two!.engine.publish({ to: "*", channel: "news", content: "for all" });
    await until(() => sara.contents.length > 1 && omid.contents.length > 0);
    expect([sara.contents, omid.contents]).toEqual([["Hello", "from her own node"], ["for all"]]);

    sara.drop();
    await two!.clock.settle();
    const missed = await one!.engine.publish({ to: "sara", content: "while she is away" });
    for (const connection of connections) await connection.flush();
    // It has come to her node by now; the end of that tick is what hands it out, to nobody.
    await two!.clock.settle();
    const again = await welcomed(await two!.device("sara"));
    await one!.engine.publish({ to: "sara", content: "and here again" });
    await until(() => again.contents.length > 0);
    expect(again.contents).toEqual(["and here again"]);
    expect(recoveryOf(again)).toEqual([false]);
    expect(await one!.engine.explain(missed)).toBeUndefined();
    expect(two!.provider.sent).toEqual([]);

    await one!.engine.close();
    await two!.engine.close();
    expect([one!.clock.timers, two!.clock.timers]).toEqual([0, 0]);
    for (const connection of connections) await connection.close();
  });
});

/** The answer to hello waits for the server's to the subscriptions. */
async function welcomed(device: Device): Promise<Device> {
  await until(() => device.frames.some(({ type }) => type === "welcome"));
  return device;
}

function recoveryOf({ frames }: Device): boolean[] {
  return frames.flatMap((frame) => frame.type === "welcome" ? frame.recovery.map(({ recovered }) => recovered) : []);
}
