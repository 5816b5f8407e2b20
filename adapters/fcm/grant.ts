import type { ServiceReply } from "../push_service/service_request.ts";
import { retryAfter } from "../push_service/retry_after.ts";
import { type Retry, retry } from "./verdict.ts";

/** An access token, and how long it lasts. */
export interface Grant {
  readonly token: string;
  readonly seconds: number;
}

/** The codes of RFC 6749 section 5.2, and those that Google has beside them. Others are not repeated: they may be anything. */
const CODES: readonly unknown[] = Object.freeze([
  ...["invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope"],
  ...["access_denied", "admin_policy_enforced", "deleted_client", "disabled_client", "org_internal"],
]);
/** Where an answer does not say how long its token lasts. */
const SECONDS = 3_600;
/** A clock that differs by more is why an assertion is refused. */
const MAX_SKEW_MS = 300_000;
const MINUTE_MS = 60_000;

/** Reads what the token endpoint answered. Whatever is wrong is wrong for all pushes of the project. */
export function readGrant(reply: ServiceReply, now: number): Grant | Retry {
  if (reply.kind === "failure") return retry(`access token: ${reply.reason}`, "service");
  const fields = parse(reply.body);
  if (reply.status >= 200 && reply.status < 300) {
    return grantOf(fields) ?? retry("access token: the answer holds none", "service");
  }
  const after = retryAfter(reply.header("retry-after"), now);
  const code = CODES.includes(fields["error"]) ? fields["error"] as string : undefined;
  if (code === undefined) return retry(`access token: HTTP ${reply.status}`, "service", after);
  const why = code === "invalid_grant" ? whyOf(fields["error_description"], reply.header("date"), now) : undefined;
  return retry(`access token: ${code}${why === undefined ? "" : `, ${why}`}`, "service", after);
}

function grantOf({ access_token, expires_in }: Record<string, unknown>): Grant | undefined {
  // It becomes part of a header.
  if (typeof access_token !== "string" || !/^[\x21-\x7e]{1,8192}$/.test(access_token)) return undefined;
  const isSaid = typeof expires_in === "number" && expires_in > 0;
  return { token: access_token, seconds: isSaid ? Math.min(expires_in, SECONDS) : SECONDS };
}

/** `invalid_grant` stands for all that may be wrong with an assertion; what it is follows from the clock and a few known texts. */
function whyOf(description: unknown, date: string | undefined, now: number): string {
  const skewMs = now - Date.parse(date ?? "");
  if (Math.abs(skewMs) > MAX_SKEW_MS) {
    return `the clock here is ${Math.round(Math.abs(skewMs) / MINUTE_MS)} minutes ${skewMs > 0 ? "fast" : "slow"}`;
  }
  const text = typeof description === "string" ? description : "";
  if (/short-lived|timeframe/i.test(text)) return "the clock here is wrong";
  if (/signature/i.test(text)) return "the key is not, or no longer, one of the service account";
  if (/not found/i.test(text)) return "there is no such service account";
  return "the service account or its key is not accepted";
}

function parse(body: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
  } catch {
    return {};
  }
}
