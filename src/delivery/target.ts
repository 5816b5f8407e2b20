import { fingerprint } from "../protocol/fingerprint.ts";
import type { PushProvider } from "../ports/push_provider.ts";
import type { PushTarget } from "../ports/users.ts";
import type { PushAddress } from "../protocol/target.ts";
import { ignored } from "./deadline.ts";

/**
 * What stands for a token in indexes and explanations. Making another token with the same name would need knowledge of this
 * one, and could then as well register it.
 */
export function tokenId(provider: string, token: string): string {
  return fingerprint(`${provider}\0${token}`) + fingerprint(`${token}\0${provider}`);
}

/** The place that pushes of a device through one provider go to, whichever token is registered there. */
export function placeOf(userId: string, deviceId: string, provider: string): string {
  const name = `${userId}\0${deviceId}\0${provider}`;
  return fingerprint(name) + fingerprint(`${provider}\0${name}`);
}

/** Whether it may be pushed to. */
export function isEnabled({ disabled }: PushTarget): boolean {
  return disabled === undefined;
}

/** Of a stored target what its provider gets. */
export function addressOf(
  { id: _id, provider: _provider, registeredAt: _at, disabled: _disabled, ...address }: PushTarget,
): PushAddress {
  return address;
}

/**
 * Why this can't be one of the provider's targets, or undefined.
 * @throws {Error} when the provider can't say: without its own words, which may hold the token
 */
export function faultOf(provider: PushProvider, address: PushAddress): string | undefined {
  let fault: unknown;
  try {
    fault = provider.targetFault?.(address);
  } catch {
    fault = null;
  }
  if (fault === undefined || typeof fault === "string") return fault;
  ignored(fault);
  throw new Error(`targetFault of the push provider "${provider.name}" failed`);
}
