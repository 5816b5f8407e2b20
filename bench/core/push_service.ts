import type { PushNotification, PushProvider, PushResult } from "../../mod.ts";

/** A push service that takes everything, after so many milliseconds; Infinity: it never answers. */
export class PushService implements PushProvider {
  readonly name: string;
  /** How often it was asked. */
  asked = 0;
  /** It is asked. */
  onAsked: ((notification: PushNotification) => void) | undefined;
  readonly #answerMs: number;
  readonly #waiting = new Map<string, (at: number) => void>();

  constructor({ name = "push", answerMs = 1 } = {}) {
    this.name = name;
    this.#answerMs = answerMs;
  }

  send(_target: unknown, notification: PushNotification, { signal }: { signal: AbortSignal }): Promise<PushResult> {
    this.asked++;
    this.#waiting.get(notification.id)?.(performance.now());
    this.onAsked?.(notification);
    return new Promise((resolve) => {
      if (this.#answerMs !== Infinity) return setTimeout(() => resolve({ verdict: "sent" }), this.#answerMs);
      signal.addEventListener("abort", () => resolve({ verdict: "retry", reason: "no answer" }), { once: true });
    });
  }

  /** When it is asked to bring the message of this id for the first time. */
  askedFor(id: string): Promise<number> {
    return new Promise((resolve) => {
      this.#waiting.set(id, (at) => {
        this.#waiting.delete(id);
        resolve(at);
      });
    });
  }
}
