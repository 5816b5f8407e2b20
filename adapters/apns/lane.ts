import type { ServiceClient } from "../push_service/client.ts";
import type { ServiceReply } from "../push_service/service_request.ts";
import type { ProviderToken, Signed } from "./provider_token.ts";
import { reasonOf } from "./verdict.ts";

/** What a lane is made of. */
export interface LaneParts {
  /** Environment, team and key: the service allows one team on a connection, and what is wrong with a key is wrong there alone. */
  name: string;
  origin: string;
  token: ProviderToken;
  client: ServiceClient;
}

/** One key in one environment: its connection, and the token on it. */
export class Lane {
  readonly name: string;
  readonly #parts: LaneParts;

  constructor(parts: LaneParts) {
    this.name = parts.name;
    this.#parts = parts;
  }

  /** One request with the key's token; when that has expired, once more with a new token on a new connection. Never throws. */
  async post(
    path: string,
    headers: Readonly<Record<string, string>>,
    body: Uint8Array,
    signal: AbortSignal,
  ): Promise<ServiceReply> {
    const { client, origin, token } = this.#parts;
    const url = new URL(path, origin);
    const ask = async (signed: Signed): Promise<ServiceReply> => {
      const authorization = `bearer ${await signed.text}`;
      // Requests that wait with an expired token stay on the former connection: two tokens on one are refused for a while.
      const lane = `${this.name} ${signed.series}`;
      return await client.request({ lane, url, headers: { ...headers, authorization }, body, signal });
    };
    try {
      const signed = token.current();
      const reply = await ask(signed);
      if (reply.kind === "failure" || reasonOf(reply) !== "ExpiredProviderToken") return reply;
      const another = token.another(signed);
      return another === undefined ? reply : await ask(another);
    } catch {
      return { kind: "failure", reason: "no provider token could be signed", scope: "service" };
    }
  }
}
