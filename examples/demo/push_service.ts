import { randomBytes } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { verifyWebhook } from "peyk/webhook";
import { personOf } from "./people.ts";
import type { Stage } from "./stage.ts";

const REMEMBERED = 1_000;

/** Stands in for the push services of the world: the engine's webhook provider posts here, and the devices' trays show it. */
export class PushService {
  /** Signs what the engine posts. */
  readonly secret: string = randomBytes(32).toString("base64url");
  readonly #stage: Stage;
  readonly #taken = new Set<string>();

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  /** Takes a push in, once. Says whether it was really the engine's. */
  receive(headers: IncomingHttpHeaders, body: Uint8Array): boolean {
    const delivery = verifyWebhook({ headers, body, secret: this.secret });
    if (delivery === undefined) return false;
    const { deliveryId, token, id, userId, alert, waiting } = delivery;
    if (this.#taken.has(deliveryId)) return true;
    if (this.#taken.size >= REMEMBERED) this.#taken.clear();
    this.#taken.add(deliveryId);
    const title = alert?.title ?? `For ${personOf(userId)?.name ?? userId}`;
    this.#stage.pushed({ line: token, id, title, body: alert?.body ?? "A message waits.", waiting });
    return true;
  }
}
