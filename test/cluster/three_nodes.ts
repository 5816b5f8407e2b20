import { afterEach, beforeEach, expect } from "vitest";
import type { PublishResult } from "../../mod.ts";
import { Cluster, type Node } from "./stage.ts";

export let cluster: Cluster;
export let a: Node;
export let b: Node;
export let c: Node;

/** Every test of the file begins with three fresh nodes, and leaves no timer behind. */
export function useThreeNodes(): void {
  beforeEach(async () => {
    cluster = new Cluster();
    [a, b, c] = await cluster.start(3) as [Node, Node, Node];
  });

  afterEach(async () => {
    await cluster.close();
    expect(cluster.clock.timers, "a timer leaked").toBe(0);
  });
}

/** What each of a user's devices is in, by state. */
export async function states(node: Node, userId: string): Promise<string[]> {
  return (await cluster.finish(node.engine.sessions(userId))).map(({ state }) => state).sort();
}

/** A message for Sara. */
export function publish(node: Node, content: string, id: string = content): Promise<PublishResult> {
  return cluster.finish(node.engine.publish({ to: "sara", content, id }));
}
