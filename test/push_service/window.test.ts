import { expect, test } from "vitest";
import { Window } from "../../adapters/push_service/window.ts";

test("a window doubles in a round of answers until it was too wide, and grows by one in a round from then on", () => {
  const window = new Window();
  const round = (): void => {
    for (let left = window.width; left > 0; left--) window.widen();
  };
  const first = window.width;
  round();
  expect(window.width).toBe(2 * first);
  window.narrow(1, 2);
  expect(window.width).toBe(first);
  round();
  expect(window.width - first).toBeLessThanOrEqual(1);
  round();
  expect(window.width - first).toBe(1);
});

test("a window is halved once for all that was under way, and never closed", () => {
  const window = new Window();
  for (let i = 0; i < 68; i++) window.widen();
  expect(window.width).toBe(100);
  for (let i = 0; i < 100; i++) window.narrow(10, 20 + i);
  expect(window.width).toBe(50);
  for (let i = 0; i < 20; i++) window.narrow(1_000 * (i + 1), 1_000 * (i + 1));
  expect(window.width).toBe(1);
  for (let i = 0; i < 4; i++) window.widen();
  expect(window.width).toBeGreaterThan(2);
});
