import type { PushResult, PushScope } from "../../src/ports/push_provider.ts";
import type { ServiceReply } from "../push_service/service_request.ts";
import { retryAfter } from "../push_service/retry_after.ts";

type Answer = Extract<ServiceReply, { kind: "answer" }>;

const MAX_HANDLE = 1_024;

/** What Windows says in headers that became of a notification. */
const windowsStatuses: readonly string[] = ["received", "dropped", "channelthrottled", "appthrottled"];

/** What Apple says is wrong, as far as it helps to know it. */
const appleReasons: readonly string[] = [
  "BadJwtToken",
  "VapidPkHashMismatch",
  "Unregistered",
  "PayloadTooLarge",
  "TooManyRequests",
];

/**
 * What a service's reply means for a push. A reason names the status and what of the answer is a number or one of our own words:
 * nothing of it as it stands.
 */
export function verdictOf(reply: ServiceReply, endpoint: URL, now: number): PushResult {
  if (reply.kind === "failure") return { verdict: "retry", reason: reply.reason, scope: reply.scope };
  const { status } = reply;
  const said = saidBy(reply);
  const reason = ["HTTP " + status, ...said].join(", ");
  if (status >= 200 && status < 300) return { verdict: "sent", info: reason, ...handleOf(reply, endpoint) };
  if (status >= 300 && status < 400) return { verdict: "rejected", reason: `${reason}: redirects are not followed` };
  if (status === 404 || status === 410) return { verdict: "gone", reason };
  // Another key made the subscription, which its client can cause; or ours is set up wrongly. Apple also says it by 400.
  if (status === 401 || status === 403 || said.some((word) => word === "BadJwtToken" || word === "VapidPkHashMismatch")) {
    return { verdict: "retry", reason, scope: "unclear" };
  }
  const isWindows = endpoint.hostname.endsWith(".notify.windows.com");
  if (status === 429 || (status === 406 && isWindows)) return later(reply, reason, throttled(said, endpoint), now);
  if (status >= 500) return later(reply, reason, status === 503 ? "service" : "unclear", now);
  return { verdict: "rejected", reason };
}

/**
 * Whom too many requests are held against. Chrome's service counts by sender; Windows says it. Elsewhere it may be one subscription's
 * own limit (Firefox on Android, UnifiedPush), by which nobody may hold up others.
 */
function throttled(said: readonly string[], { hostname }: URL): PushScope {
  if (said.includes("channelthrottled")) return "target";
  return hostname === "fcm.googleapis.com" || hostname.endsWith(".notify.windows.com") ? "service" : "unclear";
}

function later(answer: Answer, reason: string, scope: PushScope, now: number): PushResult {
  const afterMs = retryAfter(answer.header("retry-after"), now);
  return { verdict: "retry", reason, scope, ...afterMs !== undefined && { afterMs } };
}

/** Where the message can be taken back (RFC 8030 section 5): an address at the same service. */
function handleOf(answer: Answer, endpoint: URL): { handle?: string } {
  const location = answer.header("location");
  if (location === undefined || !URL.canParse(location, endpoint)) return {};
  const { href, origin } = new URL(location, endpoint);
  return origin === endpoint.origin && href.length <= MAX_HANDLE ? { handle: href } : {};
}

/** What the answer says beside its status: a service's own words, of those that are known here, and Mozilla's error number. */
function saidBy(answer: Answer): string[] {
  const status = answer.header("x-wns-notificationstatus")?.toLowerCase() ?? "";
  const { errno, reason } = errorOf(answer);
  return [
    ...windowsStatuses.filter((one) => one === status),
    ...Number.isInteger(errno) && (errno as number) > 0 && (errno as number) < 1_000 ? [`errno ${errno}`] : [],
    ...appleReasons.filter((one) => one === reason),
  ];
}

function errorOf({ status, body }: Answer): { errno?: unknown; reason?: unknown } {
  if (status < 400 || !body.startsWith("{")) return {};
  try {
    return JSON.parse(body);
  } catch {
    return {};
  }
}
