import { expect, test } from "vitest";
import { a, b, c, cluster, useThreeNodes } from "./three_nodes.ts";

useThreeNodes();

test("of messages with one id each node tells the one that is meant, and puts together what all of them know", async () => {
  await a.device("sara", { deviceId: "phone" });
  await c.device("sara", { deviceId: "laptop" });
  await b.device("omid");
  const publish = (to: string) => cluster.finish(b.engine.publish({ to, content: to, id: "m" }));
  const delivered = new Map([[await publish("sara"), 2], [await publish("omid"), 1]]);
  await cluster.clock.advance(1_000);
  for (const { engine } of [a, b, c]) {
    for (const [result, count] of delivered) {
      const { id, topic, position } = result;
      expect(await cluster.finish(engine.explain(result))).toMatchObject({ id, topic, position, delivered: count });
    }
  }
});
