import { BlockList, isIP } from "node:net";
import { PeykError } from "../../src/protocol/errors.ts";

/**
 * Which proxies are believed when they say, in X-Forwarded-* headers, for whom they ask.
 *
 * - `true`: whatever connects is a proxy. Only where nothing else can reach the port. What it was told by others is not believed.
 * - Addresses ("10.1.2.3", "::1"), subnets ("10.0.0.0/8"), and the names "loopback", "linklocal" and "uniquelocal" (the private
 *   networks of RFC 1918 and RFC 4193), as in Express and Fastify.
 * - A function that says true. `address` is undefined where the runtime tells none, as for a Unix socket; `hop` is 0 for what
 *   connects, 1 for what that one forwards for, and so on. A throw or a promise is a no.
 */
export type TrustedProxies = boolean | string | readonly string[] | ((address: string | undefined, hop: number) => boolean);

/** The same as one question. */
export type Trusts = (address: string | undefined, hop: number) => boolean;

const named: { readonly [name: string]: readonly string[] } = {
  loopback: ["127.0.0.0/8", "::1"],
  linklocal: ["169.254.0.0/16", "fe80::/10"],
  uniquelocal: ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"],
};

/** @throws {PeykError} `bad-config` */
export function trustsOf(proxies: TrustedProxies | undefined): Trusts {
  if (proxies === undefined || proxies === false) return () => false;
  if (proxies === true) return (_address, hop) => hop === 0;
  if (typeof proxies === "function") return (address, hop) => saysTrue(proxies, address, hop);
  const entries = typeof proxies === "string" ? [proxies] : proxies;
  if (!Array.isArray(entries)) throw notOne(typeof proxies === "number" ? String(proxies) : "it");
  const list = new BlockList();
  for (const entry of entries.flatMap((entry) => Object.hasOwn(named, entry) ? named[entry]! : [entry])) add(list, entry);
  return (address) => address !== undefined && isIn(list, address);
}

function add(list: BlockList, entry: unknown): void {
  const [, address, prefix] = typeof entry === "string" ? /^([\da-f:.]+)(?:\/(\d{1,3}))?$/i.exec(entry) ?? [] : [];
  const family = familyOf(address ?? "");
  if (address === undefined || family === undefined) throw notOne(JSON.stringify(entry));
  if (prefix === undefined) return list.addAddress(address, family);
  const bits = Number(prefix);
  // A subnet of all addresses would believe what any client says of itself.
  if (bits === 0 || bits > (family === "ipv4" ? 32 : 128)) throw notOne(JSON.stringify(entry));
  list.addSubnet(address, bits, family);
}

function notOne(what: string): PeykError {
  return new PeykError("bad-config", `trustProxy: ${what} is no address or subnet of a proxy`, {
    hint: 'Give true, addresses and subnets such as ["loopback", "10.0.0.0/8"], or a function of the address and the hop.',
  });
}

function isIn(list: BlockList, address: string): boolean {
  // `fe80::1%eth0` is the address `fe80::1` on one interface. Deno's list knows only the latter.
  const [bare] = address.split("%", 1) as [string];
  const family = familyOf(bare);
  return family !== undefined && list.check(bare, family);
}

function familyOf(address: string): "ipv4" | "ipv6" | undefined {
  const version = isIP(address);
  return version === 0 ? undefined : version === 4 ? "ipv4" : "ipv6";
}

/** An async function's promise is no true. */
function saysTrue(trusted: Trusts, address: string | undefined, hop: number): boolean {
  try {
    return trusted(address, hop) === true;
  } catch {
    return false;
  }
}
