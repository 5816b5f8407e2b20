import type { PushResult, PushScope } from "../../src/ports/push_provider.ts";
import type { ServiceAnswer } from "../push_service/service_request.ts";
import { retryAfter } from "../push_service/retry_after.ts";
import { type FcmError, readError } from "./fcm_error.ts";

/** The verdict that it is to be tried again. */
export type Retry = Extract<PushResult, { verdict: "retry" }>;

/** What a reply means for the push, where the target's own past does not matter. */
export type Verdict =
  | PushResult
  /** The access token is not accepted: another one may be. `then`: the verdict if that is not accepted either. */
  | { verdict: "unauthorized"; then: Retry }
  /** The text may be no token, or the push is refused without a reason. */
  | { verdict: "doubtful"; reason: string };

/** A project's quota is counted by the minute. */
const QUOTA_MS = 60_000;

/** What an answer means. */
export function verdictOf(answer: ServiceAnswer, now: number): Verdict {
  const { status } = answer;
  if (status >= 200 && status < 300) return { verdict: "sent", info: messageId(answer.body) ?? `HTTP ${status}` };
  const error = readError(answer.body);
  const said = error.code ?? error.status;
  const reason = said === undefined ? `HTTP ${status}` : `HTTP ${status} ${said}`;
  const after = retryAfter(answer.header("retry-after"), now);
  // A client can register a token of another project; so can a provider be set up for another one.
  if (error.code === "SENDER_ID_MISMATCH" || error.code === "THIRD_PARTY_AUTH_ERROR") return retry(reason, "unclear");
  if (status === 400) return badRequest(error, reason);
  if (status === 401 || status === 403) return { verdict: "unauthorized", then: retry(reason, "service") };
  if (status === 404) return notFound(error, reason);
  if (status === 429) return tooMany(error, reason, after);
  // No target can have caused it: the service is down, or what answers is not the service.
  if (status >= 500 || status < 400) return retry(reason, "service", after);
  if (status === 408) return retry(reason, "target", after);
  return { verdict: "rejected", reason };
}

function badRequest({ code, fields }: FcmError, reason: string): Verdict {
  const others = fields.filter((field) => !/^message\.(token|fid)$/.test(field));
  if (others.length > 0) return { verdict: "rejected", reason: `${reason}: ${others.slice(0, 3).join(", ")}` };
  const isDoubtful = code === "INVALID_ARGUMENT" || fields.length > 0;
  return isDoubtful ? { verdict: "doubtful", reason } : { verdict: "rejected", reason };
}

/**
 * Only UNREGISTERED says that the target is dead. Anything else was not found because of the project or the path, which a person must
 * set right: nothing is lost until then. Where FCM itself answered, a token of an undocumented form may be the cause, so one
 * target's word is not enough to make the service rest.
 */
function notFound({ code, isOfFcm }: FcmError, reason: string): PushResult {
  if (code === "UNREGISTERED") return { verdict: "gone", reason };
  return retry(`${reason}: the project or the path is not there`, isOfFcm ? "unclear" : "service");
}

/** A device that is sent too much slows itself alone. Where FCM does not say whose quota it is, it may be the device's. */
function tooMany({ code, quota }: FcmError, reason: string, after = QUOTA_MS): PushResult {
  if (quota === "device") return retry(`${reason}: the device's quota`, "target", after);
  const scope = quota === undefined && code === "QUOTA_EXCEEDED" ? "unclear" : "service";
  return retry(quota === undefined ? reason : `${reason}: the project's quota`, scope, Math.max(after, QUOTA_MS));
}

/** Not now; `afterMs` undefined leaves the pace to the engine. */
export function retry(reason: string, scope: PushScope, afterMs?: number): Retry {
  return { verdict: "retry", reason, scope, ...afterMs !== undefined && { afterMs } };
}

/** The last part of `projects/…/messages/0:1500415314455276%31bd1c96`: digits, or a UUID, never a token. */
function messageId(body: string): string | undefined {
  return /"name":\s*"projects\/[^"/]+\/messages\/([\da-f:%-]{1,64})"/.exec(body)?.[1];
}
