import type { PushProvider } from "../ports/push_provider.ts";
import { ProviderLane, type ProviderLaneParts } from "./provider_lane.ts";
import { PutOff, type PutOffParts } from "./put_off.ts";
import { Together, type TogetherParts } from "./together.ts";

/** What the worker works with. */
export interface OutboxWorkerParts extends Omit<ProviderLaneParts, "putOff" | "together">, PutOffParts, TogetherParts {
  providers: readonly PushProvider[];
}

/** Takes pushes out of the outbox when they are due, and has them sent. Each provider has a lane: none waits for what another one does. */
export class OutboxWorker {
  readonly #parts: OutboxWorkerParts;
  readonly #lanes: readonly ProviderLane[];

  constructor(parts: OutboxWorkerParts) {
    this.#parts = parts;
    const [putOff, together] = [new PutOff(parts), new Together(parts)];
    this.#lanes = parts.providers.map((provider) => new ProviderLane(provider, { ...parts, putOff, together }));
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
