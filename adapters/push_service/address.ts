import type { LookupAddress } from "node:dns";
import { isIP } from "node:net";

/** Which part of the network an address belongs to, as far as a server that calls out must care. */
export type AddressKind = "public" | "private" | "loopback" | "forbidden";

/** IPv4 ranges of networks of one's own, as [first address, prefix length]. */
const private4: readonly (readonly [string, number])[] = [
  ["10.0.0.0", 8], // RFC 1918
  ["100.64.0.0", 10], // shared: carrier-grade NAT, overlay networks (RFC 6598)
  ["172.16.0.0", 12], // RFC 1918
  ["192.168.0.0", 16], // RFC 1918
];

/** IPv4 ranges that are neither public nor private (IANA special-purpose registry). 127/8 is loopback. */
const special4: readonly (readonly [string, number])[] = [
  ["0.0.0.0", 8], // this network
  ["169.254.0.0", 16], // link-local, cloud metadata
  ["192.0.0.0", 24], // protocol assignments
  ["192.0.2.0", 24], // documentation
  ["192.88.99.0", 24], // 6to4 relays
  ["198.18.0.0", 15], // benchmarks
  ["198.51.100.0", 24], // documentation
  ["203.0.113.0", 24], // documentation
  ["224.0.0.0", 3], // multicast, reserved, broadcast
];

/** Within 2000::/3, the only public IPv6 space: what is special in it, or carries an IPv4 address. As [leading groups, prefix length]. */
const special6: readonly (readonly [number, number, number])[] = [
  [0x2001, 0x0000, 23], // protocol assignments, Teredo
  [0x2001, 0x0db8, 32], // documentation
  [0x2002, 0x0000, 16], // 6to4
  [0x3fff, 0x0000, 20], // documentation
];

/** The kind of an IP address in text form. Whatever is not surely of another kind is forbidden: mapped and translated addresses too. */
export function addressKind(address: string): AddressKind {
  const version = isIP(address);
  if (version === 4) {
    const value = number4(address);
    if (value >>> 24 === 127) return "loopback";
    const isIn = ([first, length]: readonly [string, number]): boolean => samePrefix(value, number4(first), length);
    if (private4.some(isIn)) return "private";
    return special4.some(isIn) ? "forbidden" : "public";
  }
  if (version === 6) {
    if (!URL.canParse(`http://[${address}]`)) return "forbidden"; // a zone: link-local
    const compact = new URL(`http://[${address}]`).hostname.slice(1, -1);
    if (compact === "::1") return "loopback";
    const [first = 0, second = 0] = compact.split(":").map((group) => parseInt(group || "0", 16));
    if (!compact.includes(":")) return "forbidden";
    if (first >>> 9 === 0xfc >>> 1) return "private"; // fc00::/7, unique local (RFC 4193)
    if (first >>> 13 !== 1) return "forbidden";
    const value = ((first << 16) | second) >>> 0;
    return special6.some(([high, low, length]) => samePrefix(value, ((high << 16) | low) >>> 0, length)) ? "forbidden" : "public";
  }
  return "forbidden";
}

/** A URL's hostname as a bare IP address, or undefined when it is a name. URL parsers have already undone decimal, octal and short forms. */
export function literalAddress(hostname: string): string | undefined {
  const bare = hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
  return isIP(bare) === 0 ? undefined : bare;
}

/** Whether a name means this machine without asking anybody (RFC 6761 section 6.3). */
export function isLocalName(hostname: string): boolean {
  return /(^|\.)localhost\.?$/i.test(hostname);
}

/** Which addresses may be called. */
export interface AddressRule {
  /** Public addresses may be called only so. */
  readonly tls: boolean;
  readonly allowLoopback: boolean;
  /** Default false. */
  readonly allowPrivate?: boolean;
}

/** Whether a request may go to these addresses of one name. All of them must do: a name that also points inside is a trap. */
export function addressesAllowed(addresses: readonly LookupAddress[], rule: AddressRule): boolean {
  const allowed: Readonly<Record<AddressKind, boolean>> = {
    public: rule.tls,
    private: rule.allowPrivate === true,
    loopback: rule.allowLoopback,
    forbidden: false,
  };
  return addresses.length > 0 && addresses.every(({ address }) => allowed[addressKind(address)]);
}

function number4(address: string): number {
  return address.split(".").reduce((value, part) => (value << 8) | Number(part), 0) >>> 0;
}

function samePrefix(a: number, b: number, length: number): boolean {
  return (a ^ b) >>> (32 - length) === 0;
}
