import { expect, test } from "vitest";
import { a, b, c, cluster, useThreeNodes } from "./three_nodes.ts";

useThreeNodes();

test("of several messages with one id each node tells the same: the first, or the one that is meant", async () => {
  await a.device("sara", { deviceId: "phone" });
  await b.device("omid");
  const publish = (to: string) => cluster.finish(b.engine.publish({ to, content: to, id: "m" }));
  const first = await publish("sara");
  await cluster.clock.advance(1_000);
  const second = await publish("omid");
  await cluster.clock.advance(1_000);
  for (const { engine } of [a, b, c]) {
    expect(await cluster.finish(engine.explain("m"))).toMatchObject({ topic: "sara/default", delivered: 1 });
    for (const result of [first, second]) {
      expect(await cluster.finish(engine.explain("m", result))).toMatchObject({ topic: result.topic, delivered: 1 });
    }
  }
});
