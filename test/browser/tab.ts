import type { Frame, Page } from "playwright-core";
import { expect, vi } from "vitest";
import type { Status } from "../../src/client/client.ts";
import type { TabPage } from "./tab_page.ts";

/** For whatever has to happen: the client's and the engine's own waits, on a slow machine. */
export const PATIENCE_MS = 15_000;

/** A tab with a page that has a client. */
export interface Tab {
  readonly name: string;
  readonly page: Page;
  readonly frame: Frame;
  /** How many sockets this page has opened. */
  sockets(): number;
  /** Calls the page's `tab`. */
  ask<Name extends keyof TabPage>(name: Name, ...args: Parameters<TabPage[Name]>): Promise<Awaited<ReturnType<TabPage[Name]>>>;
  /** What this tab may say of its connection now. */
  until(state: Status["state"]): Promise<Status>;
  /** Waits for a message with this content. */
  hears(content: string, patienceMs?: number): Promise<void>;
  /** How often the heart of this page has beaten. */
  beats(): number;
  /** Waits until the heart has not beaten for a second: the page stands still. */
  standsStill(): Promise<void>;
  /** Waits until the heart beats. */
  lives(): Promise<void>;
}

export function tabOf(name: string, page: Page, frame: Frame, beats: () => number, sockets: () => number): Tab {
  const tab: Tab = {
    name,
    page,
    frame,
    sockets,
    beats,
    ask: (name, ...args) =>
      frame.evaluate(
        ([name, args]) => (globalThis.tab[name] as (...args: unknown[]) => unknown)(...args),
        [name, args] as const,
      ) as never,
    async until(state) {
      let status!: Status;
      await eventually(async () => {
        status = await tab.ask("status");
        expect(status.state).toBe(state);
      });
      return status;
    },
    hears: (content, patienceMs) => eventually(async () => expect(await tab.ask("got")).toContain(content), patienceMs),
    async standsStill() {
      let before = -1;
      await eventually(
        () => {
          const now = beats();
          const isStill = now === before;
          before = now;
          expect(isStill).toBe(true);
        },
        PATIENCE_MS,
        1_500,
      );
    },
    lives() {
      const before = beats();
      return eventually(() => expect(beats()).toBeGreaterThan(before + 1));
    },
  };
  return tab;
}

/** Waits until an expectation is met. */
export function eventually(expectation: () => unknown, patienceMs = PATIENCE_MS, intervalMs = 50): Promise<void> {
  return vi.waitFor(async () => void await expectation(), { timeout: patienceMs, interval: intervalMs });
}
