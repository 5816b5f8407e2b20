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

/** A token as it stands in a request, and the connection that it belongs on. */
interface Credentials {
  readonly signed: Signed;
  readonly authorization: string;
  readonly lane: string;
}

/** One key in one environment: its connection, and the token on it. */
export class Lane {
  readonly name: string;
  readonly #parts: LaneParts;
  readonly #url: URL;
  #credentials: Credentials | undefined;

  constructor(parts: LaneParts) {
    this.name = parts.name;
    this.#parts = parts;
    this.#url = new URL(parts.origin);
  }

  /** One request with the key's token; when that has expired, once more with a new token on a new connection. Never throws. */
  async post(
    path: string,
    headers: Readonly<Record<string, string>>,
    body: Uint8Array,
    signal: AbortSignal,
  ): Promise<ServiceReply> {
    const { client, token } = this.#parts;
    const url = this.#url;
    const ask = ({ authorization, lane }: Credentials): Promise<ServiceReply> =>
      client.request({ lane, url, path, headers: { ...headers, authorization }, body, signal });
    try {
      const signed = token.current();
      const known = this.#credentials;
      const reply = await ask(known?.signed === signed ? known : await this.#with(signed));
      if (reply.kind === "failure" || reasonOf(reply) !== "ExpiredProviderToken") return reply;
      const another = token.another(signed);
      return another === undefined ? reply : await ask(await this.#with(another));
    } catch {
      return { kind: "failure", reason: "no provider token could be signed", scope: "service" };
    }
  }

  async #with(signed: Signed): Promise<Credentials> {
    const authorization = `bearer ${await signed.text}`;
    // Requests that wait with an expired token stay on the former connection: two tokens on one are refused for a while.
    return this.#credentials = { signed, authorization, lane: `${this.name} ${signed.series}` };
  }
}
