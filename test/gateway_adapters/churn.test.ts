import process from "node:process";
import { expect, test, vi } from "vitest";
import { churn } from "./churn.ts";

/** The sockets and servers that keep the process alive, as Node counts them. Deno says nothing. */
const held = () =>
  "Deno" in globalThis ? [] : process.getActiveResourcesInfo().filter((name) => name.startsWith("TCP")).toSorted();

test("600 upgrades, a third of them refused and a third reset, leave no socket behind", async () => {
  const before = held();
  const { connections, sockets, refused, open } = await churn({ upgrades: 600, atOnce: 50 });
  expect({ connections, sockets, open }).toEqual({ connections: 0, sockets: 0, open: 0 });
  expect(refused).toEqual({ origin: 67, subprotocol: 67, path: 66 });
  await vi.waitFor(() => expect(held()).toEqual(before), { timeout: 10_000 });
});
