import { expect, test } from "vitest";
import { judge } from "./judge.ts";
import { Stage } from "./node.ts";
import { createWholeClock } from "./whole_clock.ts";

test("what was acked in the background before a kill is pushed, whenever the connection after that ends", async () => {
  const texts: string[] = [];
  for (let seed = 1; seed <= 8; seed++) {
    for (const wait of [0, 8, 12, 16, 20, 30]) {
      const clock = createWholeClock();
      const stage = new Stage(clock, seed);
      await stage.start();
      const tablet = stage.device("nima", "tablet");
      tablet.open(stage.node!, false);
      await clock.advance(200);
      tablet.register("t");
      await clock.advance(200);
      for (const id of ["n1", "n2"]) {
        void stage.node!.engine.publish({ to: "nima", id, content: "x" });
        if (id === "n1") await clock.advance(1_000);
      }
      const isAcked = (): boolean =>
        stage.trace.lines.some((line) => {
          return line.what === "said" && line.frame.type === "ack" && line.frame.cursors.some(({ offset }) => offset === 2);
        });
      while (!isAcked()) await clock.advance(1);
      stage.kill();
      await clock.advance(50);
      await stage.start();
      tablet.open(stage.node!, false);
      await clock.advance(wait);
      await stage.close();
      await stage.start();
      tablet.open(stage.node!, false);
      await clock.advance(200_000);
      texts.push(...judge(stage.trace.lines, clock.elapsed()).findings.map(({ text }) => `seed ${seed}, ${wait} ms: ${text}`));
      await stage.close();
      tablet.close("lost");
    }
  }
  expect(texts).toEqual([]);
});
