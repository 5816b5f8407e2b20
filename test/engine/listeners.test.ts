import { expect, onTestFinished, test } from "vitest";
import type { Logger } from "../../mod.ts";
import { unhandledRejections } from "./rejections.ts";
import { createStage } from "./stage.ts";

/** Lets the runtime find out what nobody heard. */
const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));

test.each<[string, () => unknown]>([
  ["throws", () => {
    throw new Error("listener");
  }],
  ["rejects", () => Promise.reject(new Error("listener"))],
  ["gives a promise of another kind that rejects", () => ({
    then: (_: unknown, reject: (error: Error) => void) => reject(new Error("listener")),
  })],
])("a listener that %s is logged, and neither the engine nor another listener misses anything for it", async (_, fault) => {
  const faults = unhandledRejections();
  const logged: string[] = [];
  const log = (message: string, { error }: Record<string, unknown> = {}): void => void logged.push(`${message}: ${error}`);
  const { engine, clock, device } = await createStage({ logger: { info() {}, warn() {}, error: log } });
  const heard: string[] = [];
  for (const name of ["receipt", "session", "note"] as const) {
    engine.on(name, fault as () => void);
    engine.on(name, () => heard.push(name));
  }
  const phone = await device("sara");
  await engine.publish({ to: "sara", content: "hi" });
  await clock.advance(2_000);
  await turn();
  expect(phone.contents).toEqual(["hi"]);
  expect(new Set(heard)).toEqual(new Set(["session", "receipt", "note"]));
  for (const name of ["receipt", "session", "note"]) expect(logged).toContain(`a listener of "${name}" failed: Error: listener`);
  expect(faults).toEqual([]);
});

test.each<[string, () => unknown]>([
  ["throws", () => {
    throw new Error("no disk");
  }],
  ["rejects", () => Promise.reject(new Error("no disk"))],
])("a logger that %s ends nothing, and what it was to say is on the console", async (_, fault) => {
  const faults = unhandledRejections();
  const said: unknown[][] = [];
  const { error } = console;
  console.error = (...line: unknown[]) => void said.push(line);
  onTestFinished(() => void (console.error = error));
  const logger: Logger = { info() {}, warn() {}, error: fault as () => void };
  const { engine, clock, device } = await createStage({ logger });
  engine.on("session", () => {
    throw new Error("listener");
  });
  const phone = await device("sara");
  await engine.publish({ to: "sara", content: "hi" });
  await clock.advance(2_000);
  await turn();
  expect(phone.contents).toEqual(["hi"]);
  expect(said[0]).toMatchObject(['peyk: the logger failed at: a listener of "session" failed', {
    fault: { message: "no disk" },
  }]);
  expect(faults).toEqual([]);
});
