import type { PushResult } from "../../src/ports/push_provider.ts";
import type { ServiceAnswer, ServiceReply } from "../push_service/service_request.ts";
import { retryAfter } from "../push_service/retry_after.ts";

/** What Apple says in an answer's body. Other words may be anything, a token too: they are not passed on. */
const REASONS: ReadonlySet<unknown> = new Set([
  ...[
    "BadCollapseId",
    "BadDeviceToken",
    "BadExpirationDate",
    "BadMessageId",
    "BadPriority",
    "BadTopic",
    "DeviceTokenNotForTopic",
  ],
  ...["DuplicateHeaders", "IdleTimeout", "InvalidCollapseId", "InvalidPushType", "MissingDeviceToken", "MissingTopic"],
  ...["PayloadEmpty", "TopicDisallowed", "BadCertificate", "BadCertificateEnvironment", "BadEnvironmentKeyIdInToken"],
  ...["BadEnvironmentKeyInToken", "ExpiredProviderToken", "Forbidden", "InvalidProviderToken", "MissingProviderToken"],
  ...["UnrelatedKeyIdInToken", "BadPath", "MethodNotAllowed", "ExpiredToken", "Unregistered", "PayloadTooLarge"],
  ...["TooManyProviderTokenUpdates", "TooManyRequests", "InternalServerError", "ServiceUnavailable", "Shutdown"],
]);

/** Clocks that are further apart are told of. */
const CLOCK_MS = 5 * 60_000;

/** The reason in an answer's body, one that Apple documents or is known to give. */
export function reasonOf(answer: ServiceAnswer): string | undefined {
  const { reason } = saidBy(answer);
  return REASONS.has(reason) ? reason as string : undefined;
}

/**
 * What Apple's answer means for the push.
 * @param now milliseconds since 1970
 * @see https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns
 */
export function verdictOf(reply: ServiceReply, now: number): PushResult {
  if (reply.kind === "failure") return { verdict: "retry", reason: reply.reason, scope: reply.scope };
  const { status } = reply;
  if (status >= 200 && status < 300) return { verdict: "sent", info: idOf(reply) ?? `HTTP ${status}` };
  const said = reasonOf(reply);
  const reason = said === undefined ? `HTTP ${status}` : `HTTP ${status} ${said}`;
  if (status === 410) return { verdict: "gone", reason, ...sinceOf(reply) };
  // It may be of the other environment: a mistake of the client, or of the provider's configuration.
  if (said === "BadDeviceToken") return { verdict: "rejected", reason, scope: "unclear" };
  const afterMs = retryAfter(reply.header("retry-after"), now);
  const again = { verdict: "retry", ...afterMs !== undefined && { afterMs } } as const;
  // A lane is one key in one environment, so no target can have caused what is wrong with the key.
  if (status === 401 || status === 403) return { ...again, reason: reason + clockNote(reply, said, now), scope: "service" };
  if (status === 429) return { ...again, reason, scope: said === "TooManyProviderTokenUpdates" ? "service" : "target" };
  if (status >= 500 && status < 600) return { ...again, reason, scope: "service" };
  if (status >= 300 && status < 400) return { verdict: "rejected", reason: `${reason}: redirects are not followed` };
  return { verdict: "rejected", reason };
}

function saidBy({ body }: ServiceAnswer): { reason?: unknown; timestamp?: unknown } {
  if (body === "") return {};
  try {
    const said: unknown = JSON.parse(body);
    return typeof said === "object" && said !== null ? said : {};
  } catch {
    return {};
  }
}

/** Apple's own name for the push, as long as it looks like one. */
function idOf(answer: ServiceAnswer): string | undefined {
  const id = answer.header("apns-id") ?? "";
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id) ? id : undefined;
}

/** When the token was found dead: a target that was registered after that lives again. */
function sinceOf(answer: ServiceAnswer): { since?: number } {
  const { timestamp } = saidBy(answer);
  return typeof timestamp === "number" && Number.isSafeInteger(timestamp) && timestamp > 0 ? { since: timestamp } : {};
}

/** A token is refused when the clock it was signed by is wrong: nothing else in the answer says so. */
function clockNote(answer: ServiceAnswer, said: string | undefined, now: number): string {
  if (said !== "InvalidProviderToken" && said !== "ExpiredProviderToken") return "";
  const ahead = now - Date.parse(answer.header("date") ?? "");
  if (Math.abs(ahead) >= CLOCK_MS) {
    return `: the clock here is ${Math.round(Math.abs(ahead) / 60_000)} min ${ahead > 0 ? "ahead of" : "behind"} the service's`;
  }
  // A new token was tried by then.
  return said === "ExpiredProviderToken" ? ": the token is new, so the clock here may be behind" : "";
}
