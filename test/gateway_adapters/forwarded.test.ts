import { describe, expect, test } from "vitest";
import { type Arrival, sentBy } from "../../adapters/gateway/forwarded.ts";
import { refusalOf } from "../../adapters/gateway/refusal.ts";
import { type TrustedProxies, trustsOf } from "../../adapters/gateway/trusted_proxies.ts";
import { type GatewayOptions, upgradeRules } from "../../adapters/gateway/upgrade_rules.ts";

const PROXY = "10.0.0.9";
const STRANGER = "203.0.113.5";

interface Headers {
  host?: string;
  origin?: string;
  forHost?: string;
  forPort?: string;
  proto?: string;
  for?: string;
}

function arrival({ host = "127.0.0.1:3000", origin, forHost, forPort, proto, ...rest }: Headers, peer?: string): Arrival {
  const headers: Record<string, string | undefined> = {
    host,
    origin,
    "x-forwarded-host": forHost,
    "x-forwarded-port": forPort,
    "x-forwarded-proto": proto,
    "x-forwarded-for": rest.for,
    "sec-websocket-protocol": "peyk.v1",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
  };
  return { method: "GET", peer, scheme: "http", header: (name) => headers[name] ?? null };
}

const sent = (headers: Headers, proxies: TrustedProxies | undefined, peer: string | undefined = PROXY) =>
  sentBy(arrival(headers, peer), trustsOf(proxies));

describe("who is trusted", () => {
  test.each<[TrustedProxies | undefined, string | undefined, boolean]>([
    [undefined, "127.0.0.1", false],
    [false, "127.0.0.1", false],
    [[], "127.0.0.1", false],
    [true, STRANGER, true],
    [true, undefined, true],
    ["loopback", "127.0.0.1", true],
    ["loopback", "127.9.9.9", true],
    ["loopback", "::1", true],
    ["loopback", "::ffff:127.0.0.1", true],
    ["loopback", "128.0.0.1", false],
    ["loopback", "::2", false],
    ["loopback", undefined, false],
    ["loopback", "no address", false],
    ["loopback", "", false],
    ["linklocal", "169.254.1.1", true],
    ["linklocal", "fe80::1%eth0", true],
    ["linklocal", "fec0::1", false],
    ["uniquelocal", "10.255.0.1", true],
    ["uniquelocal", "172.16.0.1", true],
    ["uniquelocal", "172.32.0.1", false],
    ["uniquelocal", "192.168.1.1", true],
    ["uniquelocal", "fd12::1", true],
    ["uniquelocal", "2001:db8::1", false],
    ["10.0.0.9", "10.0.0.9", true],
    ["10.0.0.9", "::ffff:10.0.0.9", true],
    ["10.0.0.9", "10.0.0.99", false],
    ["10.0.0.0/31", "10.0.0.1", true],
    ["10.0.0.0/31", "10.0.0.2", false],
    ["2001:db8::/32", "2001:db8:ffff::1", true],
    ["2001:DB8::/32", "2001:db9::1", false],
    [["loopback", "10.0.0.0/8"], "10.1.2.3", true],
    [["loopback", "10.0.0.0/8"], "127.0.0.1", true],
    [["loopback", "10.0.0.0/8"], "11.0.0.1", false],
    [(address) => address === STRANGER, STRANGER, true],
    [(address) => address === undefined, undefined, true],
    [() => "yes" as unknown as boolean, STRANGER, false],
    [() => Promise.resolve(true) as unknown as boolean, STRANGER, false],
    [
      () => {
        throw new Error("no");
      },
      STRANGER,
      false,
    ],
  ])("%j and the address %s: %s", (proxies, address, trusted) => {
    expect(trustsOf(proxies)(address, 0)).toBe(trusted);
  });

  test.each<[string, unknown]>([
    ["a hop count", 1],
    ["null", null],
    ["an object", { loopback: true }],
    ["an empty text", ""],
    ["a name", "nginx"],
    ["a member of Object", "toString"],
    ["a list in a text", "loopback, 10.0.0.1"],
    ["an address with a port", "10.0.0.1:80"],
    ["a netmask", "10.0.0.0/255.0.0.0"],
    ["too many bits", "10.0.0.0/33"],
    ["too many bits of IPv6", "::1/129"],
    ["a subnet of everything", "0.0.0.0/0"],
    ["a subnet of everything in IPv6", "::/0"],
    ["no bits", "10.0.0.0/"],
    ["negative bits", "10.0.0.0/-1"],
    ["half an address", "10.0.0"],
    ["leading zeros", "010.0.0.1"],
    ["a number in a list", [10]],
    ["nothing in a list", ["loopback", undefined]],
    ["a text that is no address in a list", ["loopback", "example.org"]],
  ])("%s is a bad-config with a hint", (_what, trustProxy) => {
    expect(() => upgradeRules({ trustProxy: trustProxy as TrustedProxies })).toThrow(
      expect.objectContaining({
        code: "bad-config",
        message: expect.stringContaining("trustProxy"),
        hint: expect.stringContaining("true"),
      }),
    );
  });

  test("the error names the entry that is wrong", () => {
    expect(() => upgradeRules({ trustProxy: ["loopback", "toString"] })).toThrow('trustProxy: "toString" is no address');
  });
});

describe("the host that the client asked for", () => {
  test.each<[string, Headers, string]>([
    ["is Host when nothing else is said", { host: "a.test:8443" }, "a.test:8443"],
    ["is the forwarded host", { forHost: "a.test:8443" }, "a.test:8443"],
    ["is an IPv6 address with a port", { forHost: "[2001:db8::1]:8443" }, "[2001:db8::1]:8443"],
    ["has the forwarded port", { forHost: "a.test", forPort: "8443" }, "a.test:8443"],
    ["has it after an IPv6 address", { forHost: "[::1]", forPort: "8443" }, "[::1]:8443"],
    ["has it after Host, when the port was left out there", { host: "a.test", forPort: "8443" }, "a.test:8443"],
    ["keeps the port that it has", { forHost: "a.test:1", forPort: "2" }, "a.test:1"],
    ["has no port 443", { forHost: "a.test", forPort: "443" }, "a.test"],
    ["has no port 80", { forHost: "a.test", forPort: "80" }, "a.test"],
    ["has no port that is none", { forHost: "a.test", forPort: "x" }, "a.test"],
    ["has no port that is a host", { forHost: "a.test", forPort: "1@evil.test" }, "a.test"],
    ["is the last of several", { forHost: "evil.test, a.test" }, "a.test"],
    ["is the last without spaces", { forHost: "evil.test,a.test" }, "a.test"],
    ["is Host when the last is empty", { host: "b.test", forHost: "evil.test, " }, "b.test"],
    ["is Host when it is empty", { host: "b.test", forHost: "" }, "b.test"],
    ["has the last port", { forHost: "a.test", forPort: "1, 8443" }, "a.test:8443"],
  ])("%s", (_what, headers, host) => {
    expect(sent(headers, "10.0.0.0/8").host).toBe(host);
    expect(sent(headers, true).host).toBe(host);
  });

  test("is Host, whatever an address that is not trusted says", () => {
    const headers = { host: "b.test", forHost: "a.test", forPort: "1", proto: "https", for: "192.0.2.1" };
    for (const proxies of [undefined, false, "loopback", (address: string | undefined) => address !== STRANGER]) {
      expect(sent(headers, proxies, STRANGER)).toEqual({
        address: STRANGER,
        host: "b.test",
        scheme: "http",
        untrusted: "a.test:1",
      });
    }
  });

  test.each([["https", "https"], ["HTTPS", "https"], ["wss", "https"], ["http", "http"], ["http, https", "https"], [
    "https, http",
    "http",
  ], [
    "gopher",
    "http",
  ], ["", "http"]])("was asked for by the scheme %j: %s", (proto, scheme) => {
    expect(sent({ proto }, true).scheme).toBe(scheme);
  });
});

describe("the client's address", () => {
  const proxies = ["10.0.0.0/8", "2001:db8::/32"];
  test.each<[string, string | undefined, TrustedProxies, string]>([
    ["is the socket's when nothing is said", undefined, proxies, PROXY],
    ["is the one that the proxy names", "192.0.2.1", proxies, "192.0.2.1"],
    ["is the nearest that is no proxy", "198.51.100.1, 192.0.2.1, 10.0.0.2", proxies, "192.0.2.1"],
    ["is the outermost when all are proxies", "10.0.0.3, 10.0.0.2", proxies, "10.0.0.3"],
    ["is not what the client claims", "1.1.1.1, 192.0.2.1", proxies, "192.0.2.1"],
    ["is the last one when whatever connects is trusted", "1.1.1.1, 192.0.2.1", true, "192.0.2.1"],
    ["is as many hops away as a function says", "1.1.1.1, 192.0.2.1, 192.0.2.2", (_address, hop) => hop < 2, "192.0.2.1"],
    ["has no port", "192.0.2.1:4711", proxies, "192.0.2.1"],
    ["has no brackets", "[2001:db9::1]", proxies, "2001:db9::1"],
    ["has neither", "[2001:db9::1]:4711", proxies, "2001:db9::1"],
    ["is IPv6", "2001:db9::1", proxies, "2001:db9::1"],
    ["is found behind IPv6 proxies", "192.0.2.1, 2001:db8::7", proxies, "192.0.2.1"],
    ["is the proxy's when it names none", "unknown", proxies, PROXY],
    ["is the proxy's when it names nothing", "", proxies, PROXY],
    ["is the last known where the list is broken", "192.0.2.1, , 10.0.0.2", proxies, "10.0.0.2"],
    ["is never a text", "<script>, 10.0.0.2", proxies, "10.0.0.2"],
    ["is not an address with something behind it", "192.0.2.1 evil", proxies, PROXY],
  ])("%s", (_what, forwardedFor, trusted, address) => {
    expect(sent(forwardedFor === undefined ? {} : { for: forwardedFor }, trusted).address).toBe(address);
  });

  test("is found in 64 KB of addresses at once", () => {
    const many = Array(6_000).fill("10.0.0.2").join(", ");
    expect(sent({ for: `192.0.2.1, ${many}` }, proxies).address).toBe("192.0.2.1");
    expect(sent({ for: ",".repeat(65_536) }, proxies).address).toBe(PROXY);
    expect(sent({ forHost: "a".repeat(65_536), forPort: "1".repeat(65_536) }, true).host).toHaveLength(65_536);
    expect(sent({ forHost: ":".repeat(65_536) }, true).host).toHaveLength(65_536);
  });
});

describe("a refusal behind a proxy", () => {
  const refused = (headers: Headers, options: GatewayOptions = {}, peer = PROXY) => {
    const rules = upgradeRules(options);
    const came = arrival(headers, peer);
    return refusalOf(came, sentBy(came, rules.trusts), rules);
  };
  const page = { origin: "https://a.test:8443" };

  test("names trustProxy and the proxy's address when a forwarded host is not believed", () => {
    const refusal = refused({ ...page, forHost: "a.test:8443" });
    expect(refusal).toMatchObject({ status: 403, reason: "origin", hint: expect.stringContaining("`trustProxy`") });
    expect(refusal?.what).toBe("https://a.test:8443 at 127.0.0.1:3000, forwarded for a.test:8443 by 10.0.0.9");
    expect(refusal?.body).toContain(refusal?.hint);
    expect(refused({ ...page, forHost: "a.test:8443" }, { trustProxy: "10.0.0.9" })).toBeUndefined();
  });

  test("says so when it is no host, too", () => {
    const refusal = refused({ host: "a b", forHost: "a.test" });
    expect(refusal).toMatchObject({ status: 400, reason: "host", what: "a b, forwarded for a.test by 10.0.0.9" });
    expect(refusal?.body).toContain("`trustProxy`");
    expect(refused({ host: "a b", forHost: "a.test" }, { trustProxy: true })).toBeUndefined();
  });

  test("says that a port was left out of Host when only that differs", () => {
    const refusal = refused({ ...page, host: "a.test" });
    expect(refusal).toMatchObject({ status: 403, reason: "origin", what: "https://a.test:8443 at a.test" });
    expect(refusal?.hint).toContain("Only the port differs");
    expect(refusal?.body).toContain("$http_host");
    expect(refused({ ...page, host: "a.test", forPort: "8443" }, { trustProxy: true })).toBeUndefined();
  });

  test.each<[string, Headers, GatewayOptions]>([
    ["another host", { ...page, host: "b.test" }, {}],
    ["another port in Host", { ...page, host: "a.test:80" }, {}],
    ["the same host, forwarded", { origin: "https://evil.test", host: "a.test", forHost: "a.test" }, {}],
    ["a trusted proxy", { origin: "https://evil.test", forHost: "a.test" }, { trustProxy: true }],
    ["an opaque origin", { origin: "null", host: "a.test" }, {}],
    ["a list of origins", { ...page, host: "a.test", forHost: "b.test" }, { origins: ["https://b.test"] }],
  ])("has the usual hint for %s", (_what, headers, options) => {
    expect(refused(headers, options)).toMatchObject({ status: 403, reason: "origin" });
    expect(refused(headers, options)).not.toHaveProperty("hint");
  });

  test.each([
    "evil.test",
    "evil.test, a.test:8443",
    "a.test:8443, evil.test",
    "a.test:8443@evil.test",
    "a.test:8443/",
    "a.test:8443 x",
  ])(
    "comes for a page of another origin, whatever is forwarded: %s",
    (forHost) => {
      for (const trustProxy of [false, true, "uniquelocal", "loopback"]) {
        const refusal = refused({ origin: "https://other.test", host: "a.test:8443", forHost }, { trustProxy });
        expect(refusal?.status).toBe(403);
      }
    },
  );

  test.each(["a.test@evil.test", "a.test/x", "a.test?x", "a test", "[::1", "a.test:99999"])(
    "comes for a trusted proxy's host that is none: %s",
    (forHost) => {
      expect(refused({ forHost }, { trustProxy: true })).toMatchObject({ status: 400, reason: "host", what: forHost });
    },
  );
});
