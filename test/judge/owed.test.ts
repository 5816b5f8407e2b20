import { describe, expect, test } from "vitest";
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

test("what was acked in the background before a kill is pushed once, whatever ends the node after that", async () => {
  const clock = createWholeClock();
  const stage = new Stage(clock, 1);
  await stage.start();
  const tablet = stage.device("nima", "tablet");
  tablet.open(stage.node!, false);
  await clock.advance(200);
  tablet.register("t");
  await clock.advance(200);
  const ids = Array.from({ length: 119 }, (_, index) => `n${index}`);
  stage.store.lag = () => 1_000;
  // Rows of low urgencies come first, and use up the rows with their own words.
  for (const [index, id] of ids.entries()) {
    void stage.node!.engine.publish({ to: "nima", id, content: "x", urgency: index < 80 ? "low" : "normal" });
  }
  const isAcked = (): boolean =>
    stage.trace.lines.some((line) => {
      return line.what === "said" && line.frame.type === "ack" && line.frame.cursors.some(({ offset }) => offset === ids.length);
    });
  while (!isAcked()) await clock.advance(1);
  stage.kill();
  stage.store.lag = () => 0;
  await clock.advance(50);
  await stage.start();
  tablet.open(stage.node!, false);
  await clock.advance(200_000);
  stage.kill();
  await clock.advance(50);
  await stage.start();
  await clock.advance(200_000);
  const told = stage.trace.lines.flatMap((line) => line.what === "asked" ? [line.ask.waiting] : []);
  expect(told.reduce((sum, waiting) => sum + waiting, 0)).toBe(ids.length);
  expect(told.length).toBeLessThan(ids.length);
  expect(judge(stage.trace.lines, clock.elapsed()).findings).toEqual([]);
  await stage.close();
});

describe.each(["at once", "after the next restart"])(
  "what was being written when a connection ended, and it comes again %s",
  (when) => {
    test.each(["its node was closed", "its node was killed as it closed", "it was lost"])(
      "%s: is pushed once, though a node is killed soon after",
      async (how) => {
        const texts: string[] = [];
        for (let seed = 1; seed <= 4; seed++) {
          const clock = createWholeClock();
          const stage = new Stage(clock, seed);
          const { store, trace } = stage;
          await stage.start();
          stage.call("subscribe", "nima", "square");
          const tablet = stage.device("nima", "tablet");
          tablet.open(stage.node!, false);
          await clock.advance(200);
          tablet.register("t");
          await clock.advance(200);
          const lag = (ms: number): void => {
            store.lag = () => ms;
            trace.note({ what: "lag", user: "nima", ms });
          };
          lag(1_000);
          // Five pushes leave at once; what waits of the room is more than its rows with their own words.
          for (let n = 1; n <= 10; n++) {
            void stage.node!.engine.publish({ to: "nima", id: `m${n}`, content: "x" });
            void stage.node!.engine.publish({ to: "*", channel: "square", id: `n${n}`, content: "x" });
            await clock.advance(20);
          }
          if (how === "it was lost") tablet.close("lost");
          else if (how === "its node was killed as it closed") {
            void stage.node!.engine.close();
            while (!stage.notes.some(({ id, kind }) => id === "n10" && kind === "push-queued")) await clock.advance(1);
            stage.kill();
            await stage.start();
          } else {
            await stage.close();
            await stage.start();
          }
          if (when === "at once") tablet.open(stage.node!, false);
          await clock.advance(4_000);
          lag(0);
          await clock.advance(5_000);
          stage.kill();
          await clock.advance(50);
          await stage.start();
          tablet.open(stage.node!, false);
          await clock.advance(200_000);
          texts.push(
            ...judge(trace.lines, clock.elapsed()).findings.map(({ rule, text }) => `seed ${seed}: ${rule} ${text}`),
          );
          const told = trace.lines.flatMap((line) => line.what === "asked" ? [line.ask.waiting] : []);
          expect(told.reduce((sum, waiting) => sum + waiting, 0)).toBe(20);
          await stage.close();
          tablet.close("lost");
        }
        expect(texts).toEqual([]);
      },
    );
  },
);
