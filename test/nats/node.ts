import { createManualClock, type ManualClock } from "../../adapters/conformance/manual_clock.ts";
import { nats, type NatsLike } from "../../adapters/nats/nats.ts";
import { memory, type OpenStorage, type TopicListener } from "../../mod.ts";

/** A node's storage, opened, and what it logged. */
export interface Node extends OpenStorage {
  readonly clock: ManualClock;
  readonly log: string[];
}

export async function openNode(connection: NatsLike, prefix?: string): Promise<Node> {
  const clock = createManualClock();
  const log: string[] = [];
  const write = (message: string): void => void log.push(message);
  const random = { id: () => crypto.randomUUID(), fraction: Math.random };
  const storage = nats({ connection, storage: memory(), ...(prefix === undefined ? {} : { prefix }) });
  const opened = await storage.open({ clock, random, logger: { info: write, warn: write, error: write } });
  return { ...opened, clock, log };
}

/** A listener that remembers. */
export interface Heard extends TopicListener {
  readonly texts: string[];
  gaps: number;
}

export function createHeard(): Heard {
  const heard: Heard = {
    texts: [],
    gaps: 0,
    entry() {
      throw new Error("core NATS has no entries");
    },
    signal: (bytes) => void heard.texts.push(new TextDecoder().decode(bytes)),
    gap: () => void heard.gaps++,
  };
  return heard;
}

export function say({ transport }: OpenStorage, topic: string, text: string | Uint8Array): ReturnType<typeof transport.publish> {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  return transport.publish(topic, bytes, { key: crypto.randomUUID(), expiresAt: Infinity });
}

/** Waits for what a server does on its own; the test's own timeout ends it. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}
