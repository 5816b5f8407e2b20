import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { verifyWebhook } from "../../adapters/webhook.ts";

/** What it says of a target, which its token begins with: taken, dead, or taken at the second try. */
export const ANSWERS = ["sent", "gone", "retry"] as const;
export type Answer = typeof ANSWERS[number];

/** A push service over HTTP, for the webhook provider. */
export class PushService {
  readonly secret = "known to the soak and nobody else";
  readonly #server = createServer();
  /** Pushes that were told to come again. */
  readonly #refused = new Set<string>();
  /** Those that somebody waits for, by target and message. */
  readonly #expected = new Set<string>();
  #taken = 0;

  static async start(): Promise<PushService> {
    const service = new PushService();
    await new Promise<void>((resolve) => service.#server.listen(0, "127.0.0.1", resolve));
    return service;
  }

  private constructor() {
    this.#server.on("request", async (request, response) => {
      let body = "";
      try {
        for await (const chunk of request) body += chunk;
      } catch {
        return; // the sender gave it up
      }
      const delivery = verifyWebhook({ headers: request.headers, body, secret: this.secret });
      if (delivery === undefined) return response.writeHead(401).end();
      const { deliveryId, id, token } = delivery;
      if (token.startsWith("gone")) return response.writeHead(410).end();
      if (token.startsWith("retry") && !this.#refused.delete(deliveryId)) {
        this.#refused.add(deliveryId);
        return response.writeHead(503, { "retry-after": "1" }).end();
      }
      this.#taken++;
      this.#expected.delete(keyOf(token, id));
      response.writeHead(204).end();
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/push`;
  }

  /** How many it has taken. */
  get taken(): number {
    return this.#taken;
  }

  /** A push of this message has to come. Said before the message is published. */
  expect(token: string, id: string): void {
    this.#expected.add(keyOf(token, id));
  }

  /** It has to come yet. */
  isExpected(token: string, id: string): boolean {
    return this.#expected.has(keyOf(token, id));
  }

  /** What has to come yet. */
  get missing(): readonly string[] {
    return [...this.#expected];
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function keyOf(token: string, id: string): string {
  return `${id} at ${token}`;
}
