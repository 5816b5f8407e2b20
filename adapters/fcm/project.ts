import type { Clock } from "../../src/ports/clock.ts";
import type { PushNotification, PushResult, PushSendOptions } from "../../src/ports/push_provider.ts";
import { AccessToken, type Requester } from "./access_token.ts";
import { DoubtedTargets } from "./doubted_targets.ts";
import { requestBody, type ShownBy } from "./message.ts";
import { Pace } from "./pace.ts";
import type { Account } from "./service_account.ts";
import { retry, type Verdict, verdictOf } from "./verdict.ts";

/** What a project is sent with. */
export interface ProjectParts {
  account: Account;
  shownBy: ShownBy;
  pushesPerSecond: number;
  /** Where FCM is. */
  origin: URL;
  client: Requester;
  clock: Omit<Clock, "defer">;
}

/** One Firebase project: its access token, its pace, and its requests. */
export class Project {
  /** Names the project's connection, breaker and quota. */
  readonly lane: string;
  readonly #parts: ProjectParts;
  readonly #url: URL;
  readonly #accessToken: AccessToken;
  readonly #pace: Pace;
  readonly #doubted = new DoubtedTargets();

  constructor(parts: ProjectParts) {
    const { account, client, clock, origin, pushesPerSecond } = parts;
    this.lane = account.projectId;
    this.#parts = parts;
    this.#url = new URL(`/v1/projects/${encodeURIComponent(account.projectId)}/messages:send`, origin);
    this.#accessToken = new AccessToken(account, client, clock);
    this.#pace = new Pace(pushesPerSecond, clock);
  }

  async send(token: string, push: PushNotification, options: PushSendOptions): Promise<PushResult> {
    const body = requestBody(token, push, this.#parts.shownBy);
    if (body === undefined) return { verdict: "rejected", reason: "larger than 4096 bytes" };
    const first = await this.#ask(body, options);
    // A token can be withdrawn before its end: once, another one is asked for.
    const last = first.verdict === "unauthorized" ? await this.#ask(body, options) : first;
    if (last.verdict === "unauthorized") return last.then;
    if (last.verdict === "sent") this.#doubted.trust(token);
    if (last.verdict !== "doubtful") return last;
    return this.#doubted.doubt(token, push.collapseId)
      ? { verdict: "gone", reason: `${last.reason}, for two pushes` }
      : { verdict: "rejected", reason: last.reason, scope: "unclear" };
  }

  /** One request, with the access token of now, when its turn comes. */
  async #ask(body: Uint8Array, { signal, nodes = 1 }: PushSendOptions): Promise<Verdict> {
    const accessToken = await this.#accessToken.get(signal);
    if (typeof accessToken !== "string") return accessToken;
    const waitMs = await this.#pace.turn(nodes, signal);
    if (waitMs > 0) return retry(`more than ${this.#parts.pushesPerSecond} pushes a second`, "target", waitMs);
    if (signal.aborted) return retry("aborted", "target");
    const reply = await this.#parts.client.request({
      lane: this.lane,
      url: this.#url,
      headers: { authorization: `Bearer ${accessToken}`, "content-type": "application/json" },
      body,
      signal,
    });
    if (reply.kind === "failure") return retry(reply.reason, reply.scope);
    const verdict = verdictOf(reply, this.#parts.clock.now());
    if (verdict.verdict === "unauthorized") this.#accessToken.refuse(accessToken);
    return verdict;
  }
}
