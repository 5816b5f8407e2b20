import type { LookupAddress } from "node:dns";
import { lookup } from "node:dns/promises";
import { addressesAllowed, literalAddress } from "./address.ts";

/**
 * The addresses of a URL's hostname, undefined when they are not all ones that may be called.
 * @param ask how a name is looked up, for tests
 * @throws the name server's error, or the signal's reason
 */
export async function allowedAddresses(
  hostname: string,
  rule: { tls: boolean; allowLoopback: boolean },
  signal: AbortSignal,
  ask: (name: string) => Promise<LookupAddress[]> = (name) => lookup(name, { all: true }),
): Promise<LookupAddress[] | undefined> {
  const literal = literalAddress(hostname);
  const addresses = literal === undefined
    ? await untilAborted(() => ask(hostname), signal)
    : [{ address: literal, family: literal.includes(":") ? 6 : 4 }];
  return addressesAllowed(addresses, rule) ? addresses : undefined;
}

/** A look-up can't be called off, only left behind. */
async function untilAborted<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([work(), aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
