import { lookup } from "node:dns/promises";
import type { LookupAddress } from "node:dns";
import type { LookupFunction } from "node:net";
import { addressesAllowed, type AddressRule, literalAddress } from "./address.ts";
import { NOT_ALLOWED } from "./exchange.ts";

/**
 * How a connection looks its host's name up: it goes only to addresses that were checked, whatever the name says a moment later.
 * @param ask who is asked, for tests
 */
export function checkedLookup(
  rule: AddressRule,
  ask: (name: string) => Promise<LookupAddress[]> = (name) => lookup(name, { all: true }),
): LookupFunction {
  return (hostname, options, callback) => {
    ask(hostname).then((addresses) => {
      const [first] = addresses;
      if (first === undefined || !addressesAllowed(addresses, rule)) callback(notAllowed(), "", 4);
      else if (options.all === true) callback(null, addresses);
      else callback(null, first.address, first.family);
    }, (error) => callback(error, "", 4));
  };
}

/**
 * A host that is an IP address is checked by itself: no lookup is made for it.
 * @throws where it may not be called
 */
export function checkLiteral(hostname: string, rule: AddressRule): void {
  const address = literalAddress(hostname);
  if (address !== undefined && !addressesAllowed([{ address, family: address.includes(":") ? 6 : 4 }], rule)) throw notAllowed();
}

function notAllowed(): NodeJS.ErrnoException {
  return Object.assign(new Error("not an address that may be called"), { code: NOT_ALLOWED });
}
