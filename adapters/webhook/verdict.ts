import type { PushResult } from "../../src/ports/push_provider.ts";

/** The least and the most that a service can make us wait, milliseconds. */
const MIN_WAIT_MS = 1_000;
const MAX_WAIT_MS = 3_600_000;

/** The three date forms of RFC 9110 section 5.6.7. All are GMT; only the last does not say so. */
const httpDate = [
  /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/,
  /^[A-Z][a-z]{5,8}, \d{2}-[A-Z][a-z]{2}-\d{2} \d{2}:\d{2}:\d{2} GMT$/,
  /^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} \d{4}$/,
];

/**
 * How long a Retry-After header (RFC 9110 section 10.2.3: seconds or a date) asks to wait, in milliseconds between a second and
 * an hour. Undefined when there is none or it says nothing.
 */
export function retryAfter(header: string | undefined, now: number): number | undefined {
  const value = header?.trim() ?? "";
  let wait: number;
  if (/^\d+$/.test(value)) wait = Number(value) * 1_000;
  else if (httpDate.some((form) => form.test(value))) wait = Date.parse(value.endsWith("GMT") ? value : `${value} GMT`) - now;
  else return undefined;
  return Number.isNaN(wait) ? undefined : Math.min(Math.max(wait, MIN_WAIT_MS), MAX_WAIT_MS);
}

/** What an HTTP answer means for the push. The answer's body means nothing: it may be anybody's error page. */
export function verdictOf(status: number, retryAfterHeader: string | undefined, now: number): PushResult {
  const reason = `HTTP ${status}`;
  if (status >= 200 && status < 300) return { verdict: "sent", info: reason };
  if (status === 410) return { verdict: "gone", reason };
  if (status === 429 || (status >= 500 && status < 600)) return retry(reason, retryAfter(retryAfterHeader, now));
  // The receiver has another secret, or does not want this target: it can't be told which.
  if (status === 401 || status === 403) return { verdict: "retry", reason, scope: "unclear" };
  if (status >= 300 && status < 400) return { verdict: "rejected", reason: `${reason}: redirects are not followed` };
  return { verdict: "rejected", reason };
}

/** Not now; `afterMs` undefined leaves the pace to the engine. */
export function retry(reason: string, afterMs?: number): PushResult {
  return afterMs === undefined ? { verdict: "retry", reason } : { verdict: "retry", afterMs, reason };
}

/** An error as a reason: its code only, because messages hold addresses and URLs. */
export function failureReason(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" && /^[A-Z][A-Z0-9_]{1,60}$/.test(code) ? `connection failed: ${code}` : "connection failed";
}
