import type { PushResult } from "../../src/ports/push_provider.ts";
import type { ServiceReply } from "../push_service/service_request.ts";
import { retryAfter } from "../push_service/retry_after.ts";

/** What a receiver's answer means for the push. The answer's body means nothing: it may be anybody's error page. */
export function verdictOf(reply: ServiceReply, now: number): PushResult {
  if (reply.kind === "failure") return { verdict: "retry", reason: reply.reason, scope: reply.scope };
  const { status } = reply;
  const reason = `HTTP ${status}`;
  if (status >= 200 && status < 300) return { verdict: "sent", info: reason };
  if (status === 410) return { verdict: "gone", reason };
  // It may have failed at this target: the others are asked still.
  if (status === 408 || status === 425 || status === 429 || (status >= 500 && status < 600)) {
    const afterMs = retryAfter(reply.header("retry-after"), now);
    return { verdict: "retry", reason, ...afterMs !== undefined && { afterMs } };
  }
  // The receiver has another secret, or does not want this target: it can't be told which. Either is its operator's to look at.
  if (status === 401 || status === 403) return { verdict: "retry", reason, scope: "unclear", alarm: true };
  if (status >= 300 && status < 400) return { verdict: "rejected", reason: `${reason}: redirects are not followed` };
  return { verdict: "rejected", reason };
}
