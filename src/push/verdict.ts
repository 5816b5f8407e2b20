import { ignored } from "../delivery/deadline.ts";
import type { PushProvider, PushResult } from "../ports/push_provider.ts";
import type { PushAddress } from "../protocol/target.ts";

const VERDICTS: readonly PushResult["verdict"][] = Object.freeze(["sent", "replaced", "gone", "rejected", "retry"]);
const SCOPES: readonly unknown[] = Object.freeze(["target", "unclear", "service"]);
const MAX_LANE = 256;
const MAX_TOKEN = 4_096;
const MAX_HANDLE = 1_024;
/** Of what a service says, that much is kept for people to read. */
const MAX_WORDS = 500;

/** A provider without types may answer anything: undefined where it is no verdict, and what can't be written down left out. */
export function checkedVerdict(result: PushResult | undefined | null): PushResult | undefined {
  if (!VERDICTS.includes(result?.verdict as PushResult["verdict"])) return undefined;
  const checked = { ...result } as Record<string, unknown>;
  if (typeof checked["info"] === "string") checked["info"] = checked["info"].slice(0, MAX_WORDS);
  else delete checked["info"];
  if (!isText(checked["handle"], MAX_HANDLE)) delete checked["handle"];
  if (!SCOPES.includes(checked["scope"])) delete checked["scope"];
  if (checked["alarm"] !== true || checked["verdict"] !== "retry") delete checked["alarm"];
  // Without a time it is dead now.
  if (!Number.isFinite(checked["since"])) delete checked["since"];
  const isTold = checked["verdict"] === "sent" || checked["verdict"] === "replaced";
  if (typeof checked["reason"] === "string") checked["reason"] = checked["reason"].slice(0, MAX_WORDS);
  else if (!isTold) checked["reason"] = "no reason given";
  if (checked["verdict"] === "replaced" && !isText(checked["token"], MAX_TOKEN)) checked["verdict"] = "sent";
  return checked as unknown as PushResult;
}

function isText(value: unknown, most: number): value is string {
  return typeof value === "string" && value.length > 0 && value.length <= most;
}

/** Whether the provider has taken the push. */
export function isTaken(result: PushResult): result is Extract<PushResult, { verdict: "sent" | "replaced" }> {
  return result.verdict === "sent" || result.verdict === "replaced";
}

/** The lane of a target: a provider that says nothing sensible of it has one. */
export function laneOf(provider: PushProvider, target: PushAddress): string {
  try {
    const lane: unknown = provider.lane?.(target);
    if (typeof lane === "string" && lane.length <= MAX_LANE) return lane;
    ignored(lane);
    return "";
  } catch {
    return "";
  }
}
