import type { LookupAddress } from "node:dns";
import { isIP } from "node:net";

/** Which part of the network an address belongs to, as far as a server that calls out must care. */
export type AddressKind = "public" | "loopback" | "forbidden";

/** IPv4 ranges that are not public (IANA special-purpose registry), as [first address, prefix length]. 127/8 is loopback. */
const special4: readonly (readonly [string, number])[] = [
  ["0.0.0.0", 8], // this network
  ["10.0.0.0", 8], // private
  ["100.64.0.0", 10], // carrier-grade NAT
  ["169.254.0.0", 16], // link-local, cloud metadata
  ["172.16.0.0", 12], // private
  ["192.0.0.0", 24], // protocol assignments
  ["192.0.2.0", 24], // documentation
  ["192.88.99.0", 24], // 6to4 relays
  ["192.168.0.0", 16], // private
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

/** The kind of an IP address in text form. Whatever is not surely public or loopback is forbidden: mapped and translated addresses too. */
export function addressKind(address: string): AddressKind {
  const version = isIP(address);
  if (version === 4) {
    const value = number4(address);
    if (value >>> 24 === 127) return "loopback";
    return special4.some(([first, length]) => samePrefix(value, number4(first), length)) ? "forbidden" : "public";
  }
  if (version === 6) {
    if (!URL.canParse(`http://[${address}]`)) return "forbidden"; // a zone: link-local
    const compact = new URL(`http://[${address}]`).hostname.slice(1, -1);
    if (compact === "::1") return "loopback";
    const [first = 0, second = 0] = compact.split(":").map((group) => parseInt(group || "0", 16));
    if (!compact.includes(":") || first >>> 13 !== 1) return "forbidden";
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

/**
 * Whether a request may go to these addresses of one name. All of them must do: a name that also points inside is a trap.
 * Without TLS only loopback will do.
 */
export function addressesAllowed(addresses: readonly LookupAddress[], rule: { tls: boolean; allowLoopback: boolean }): boolean {
  return addresses.length > 0 && addresses.every(({ address }) => {
    const kind = addressKind(address);
    return (kind === "public" && rule.tls) || (kind === "loopback" && rule.allowLoopback);
  });
}

function number4(address: string): number {
  return address.split(".").reduce((value, part) => (value << 8) | Number(part), 0) >>> 0;
}

function samePrefix(a: number, b: number, length: number): boolean {
  return (a ^ b) >>> (32 - length) === 0;
}
