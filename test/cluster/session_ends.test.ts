import { describe, expect, test } from "vitest";
import type { Node } from "./stage.ts";
import { a, b, c, cluster, useThreeNodes } from "./three_nodes.ts";

useThreeNodes();

/** What nodes say of a user's sessions, as they follow. */
function told(userId: string): string[] {
  const lines: string[] = [];
  const names: [string, Node][] = [["a", a], ["b", b], ["c", c]];
  for (const [name, { engine }] of names) {
    engine.on("session", (change) => change.userId === userId ? lines.push(`${name} ${change.state}`) : 0);
  }
  return lines;
}

describe("a session that ends on its node is told by it", () => {
  test("where the device comes to another node: away there before it is live here", async () => {
    const lines = told("sara");
    await a.device("sara");
    await b.device("sara");
    expect(lines).toEqual(["a connected.live", "a disconnected.away", "b connected.live"]);
    await cluster.clock.advance(60_000);
    expect(lines).toHaveLength(3);
  });

  test("where another user comes on the device, on another node", async () => {
    const lines = told("sara");
    await a.device("sara", { deviceId: "tablet" });
    await b.device("reza", { deviceId: "tablet" });
    expect(lines).toEqual(["a connected.live", "a disconnected.away"]);
  });

  test("where the user is signed out on another node", async () => {
    const lines = told("sara");
    await a.device("sara");
    await cluster.finish(b.engine.revoke("sara"));
    expect(lines).toEqual(["a connected.live", "a signedOut"]);
  });

  test("where the node could not be told at once", async () => {
    const lines = told("sara");
    await a.device("sara");
    a.cut();
    await b.device("sara");
    await a.heal();
    await cluster.clock.advance(2_000);
    expect(lines.toSorted()).toEqual(["a connected.live", "a disconnected.away", "b connected.live"]);
  });

  test("where it stood still until others held its sessions", async () => {
    const lines = told("sara");
    await a.device("sara");
    a.pause();
    await cluster.clock.advance(12_000);
    await a.resume();
    await cluster.clock.advance(5_000);
    expect(lines.filter((line) => line.startsWith("a"))).toEqual(["a connected.live", "a disconnected.away"]);
  });
});
