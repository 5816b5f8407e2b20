import type { PushProvider } from "../ports/push_provider.ts";
import { ProviderLane, type ProviderLaneParts } from "./provider_lane.ts";

/** What the worker works with. */
export interface OutboxWorkerParts extends ProviderLaneParts {
  providers: readonly PushProvider[];
}

/** Takes pushes out of the outbox when they are due, and has them sent. Each provider has a lane: none waits for what another one does. */
export class OutboxWorker {
  readonly #parts: OutboxWorkerParts;
  readonly #lanes: readonly ProviderLane[];

  constructor(parts: OutboxWorkerParts) {
    this.#parts = parts;
    this.#lanes = parts.providers.map(({ name }) => new ProviderLane(name, parts));
  }

  /** Looks for due rows, now. */
  wake(): void {
    for (const lane of this.#lanes) lane.wake();
  }

  /** Stops, gives up what is under way: it will be asked again after the next start. */
  async close(): Promise<void> {
    this.#parts.dispatcher.close();
    await Promise.all(this.#lanes.map((lane) => lane.close()));
  }
}
