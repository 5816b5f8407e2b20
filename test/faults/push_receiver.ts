import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { verifyWebhook } from "../../adapters/webhook.ts";

/** A push of one message to one target, as its receiver counted it. */
export interface Push {
  readonly firstAt: number;
  readonly deliveryId: string;
  /** Requests for it, the first included. */
  requests: number;
}

/** Takes the webhook's pushes and counts them. */
export interface PushReceiver {
  readonly url: string;
  readonly secret: string;
  /** By target, then by message id. */
  readonly pushes: ReadonlyMap<string, ReadonlyMap<string, Push>>;
  /** Whether a push told of a message: alone, or as one of several of its topic. */
  tells(token: string, message: { id: string; topic: string; offset: number }): boolean;
  /** Messages that pushes to a target stood for beside the ones that they were named after, of any topic, and when the last one came. */
  stoodFor(token: string): { messages: number; until: number };
  /** Requests for a push that was there, under another delivery id: a second push, not a second try. */
  readonly strangers: string[];
  close(): Promise<void>;
}

export async function startPushReceiver(): Promise<PushReceiver> {
  const secret = "a secret of the test only";
  const pushes = new Map<string, Map<string, Push>>();
  const strangers: string[] = [];
  /** By target and topic: up to where a push stood for several. */
  const several = new Map<string, number>();
  const others = new Map<string, { messages: number; until: number }>();
  const server = createServer(async (request, response) => {
    let body = "";
    try {
      for await (const chunk of request) body += chunk;
    } catch {
      return; // Whoever sent it was killed, or did not wait for long enough.
    }
    const delivery = verifyWebhook({ headers: request.headers, body, secret });
    response.writeHead(delivery === undefined ? 401 : 204).end();
    if (delivery === undefined) return;
    const { token, id, deliveryId, topic, position: { offset }, waiting } = delivery;
    const place = `${token} ${topic}`;
    if (waiting > 1) {
      several.set(place, Math.max(several.get(place) ?? 0, offset));
      // 101 says that there are more than 100.
      const more = waiting > 100 ? Infinity : waiting - 1;
      others.set(token, { messages: (others.get(token)?.messages ?? 0) + more, until: Date.now() });
    }
    const ofTarget = pushes.get(token) ?? new Map<string, Push>();
    pushes.set(token, ofTarget);
    const known = ofTarget.get(id);
    if (known === undefined) ofTarget.set(id, { firstAt: Date.now(), deliveryId, requests: 1 });
    else {
      known.requests++;
      if (known.deliveryId !== deliveryId) strangers.push(`${token} ${id}`);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ...{ secret, pushes, strangers },
    tells: (token, { id, topic, offset }) =>
      pushes.get(token)?.has(id) === true || offset < (several.get(`${token} ${topic}`) ?? 0),
    stoodFor: (token) => others.get(token) ?? { messages: 0, until: 0 },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
