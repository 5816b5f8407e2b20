/** What an answer that is no success says, as far as it is understood. */
export interface FcmError {
  /** Whether it is the JSON that FCM answers with. A proxy's error page is not. */
  readonly isOfFcm: boolean;
  /** The canonical code, `error.status`: NOT_FOUND, INVALID_ARGUMENT … */
  readonly status: string | undefined;
  /** FCM's own code: UNREGISTERED, SENDER_ID_MISMATCH … (https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode) */
  readonly code: string | undefined;
  /** The request's fields that it finds fault with. */
  readonly fields: readonly string[];
  /** Which quota is used up, where it says so. */
  readonly quota: "project" | "device" | undefined;
}

type Json = { readonly [key: string]: unknown };

const NOTHING: FcmError = Object.freeze({
  isOfFcm: false,
  status: undefined,
  code: undefined,
  fields: Object.freeze([]),
  quota: undefined,
});

/**
 * Reads the body of an error (https://cloud.google.com/apis/design/errors). It is the service's text: only codes and names of fields
 * of the usual form are taken out of it, because anything else may hold a token.
 */
export function readError(body: string): FcmError {
  let error: unknown;
  try {
    error = (JSON.parse(body) as Json | null)?.["error"];
  } catch {
    return NOTHING;
  }
  if (!isObject(error)) return NOTHING;
  const details = listOf(error["details"]);
  return {
    isOfFcm: true,
    status: codeOf(error["status"]),
    code: codeOf(details.find((detail) => isA(detail, "google.firebase.fcm.v1.FcmError"))?.["errorCode"]),
    fields: details.filter((detail) => isA(detail, "google.rpc.BadRequest"))
      .flatMap(({ fieldViolations }) => listOf(fieldViolations).map(({ field }) => fieldOf(field))),
    quota: quotaOf(details),
  };
}

/**
 * A project's quota is told as an ErrorInfo of Google's front end (seen: github.com/firebase/firebase-admin-go/issues/719), a device's
 * as a QuotaFailure.
 */
function quotaOf(details: readonly Json[]): FcmError["quota"] {
  const failures = details.filter((detail) => isA(detail, "google.rpc.QuotaFailure")).flatMap(({ violations }) =>
    listOf(violations)
  );
  // The subject may be the token: nothing that a client chose decides for others.
  if (failures.some(({ description }) => /device/i.test(String(description)))) return "device";
  const isProjects = failures.some(({ description, subject }) =>
    /project|topic/i.test(String(description)) || /^projects?[:/]/.test(String(subject))
  );
  const isFrontEnds = details.some((detail) => isA(detail, "google.rpc.ErrorInfo") && detail["reason"] === "RATE_LIMIT_EXCEEDED");
  return isProjects || isFrontEnds ? "project" : undefined;
}

function isA(detail: Json, type: string): boolean {
  return detail["@type"] === `type.googleapis.com/${type}`;
}

function codeOf(value: unknown): string | undefined {
  return typeof value === "string" && /^[A-Z][A-Z_]{1,40}$/.test(value) ? value : undefined;
}

function fieldOf(value: unknown): string {
  return typeof value === "string" && /^message(\.[A-Za-z_]{1,40}|\[\d{1,4}\]){1,8}$/.test(value) ? value : "a field";
}

function listOf(value: unknown): readonly Json[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null;
}
