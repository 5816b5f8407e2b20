import { describe, expect, test } from "vitest";
import { webhook } from "../../adapters/webhook.ts";
import { addressesAllowed, addressKind } from "../../adapters/webhook/address.ts";
import { allowedAddresses } from "../../adapters/webhook/resolve.ts";

const secret = "a secret of enough length";

describe("an address is public only when it surely is", () => {
  test.each([
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00::1",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2003::1",
    "3ffe::1",
  ])("%s is public", (address) => {
    expect(addressKind(address)).toBe("public");
  });

  test.each(["127.0.0.1", "127.255.255.255", "127.1.2.3", "::1", "0:0:0:0:0:0:0:1", "0000::0001"])(
    "%s is loopback",
    (address) => {
      expect(addressKind(address)).toBe("loopback");
    },
  );

  test.each([
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "169.254.0.0",
    "169.254.169.254",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.0",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.0",
    "255.255.255.255",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:7f00:1",
    "::127.0.0.1",
    "::7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "2001::1",
    "2001:0:4136:e378::",
    "2001:1ff::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "3fff::1",
    "3fff:fff::1",
    "4000::1",
    "5f00::1",
    "",
    "localhost",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
    "1.1.1",
    "1.1.1.1.1",
    "256.1.1.1",
    "1.1.1.1:80",
    "[::1]",
    ":::1",
  ])("%j is forbidden", (address) => {
    expect(addressKind(address)).toBe("forbidden");
  });
});

describe("a request may go", () => {
  const at = (...addresses: string[]) => addresses.map((address) => ({ address, family: 4 }));
  const tls = { tls: true, allowLoopback: false };
  test("to public addresses, over TLS", () => {
    expect(addressesAllowed(at("1.1.1.1", "2606:4700::1"), tls)).toBe(true);
    expect(addressesAllowed(at("1.1.1.1"), { tls: false, allowLoopback: true })).toBe(false);
  });
  test("to loopback only when that is allowed", () => {
    expect(addressesAllowed(at("127.0.0.1"), tls)).toBe(false);
    expect(addressesAllowed(at("127.0.0.1", "::1"), { tls: false, allowLoopback: true })).toBe(true);
  });
  test("nowhere when one of several addresses is forbidden, or there is none", () => {
    expect(addressesAllowed(at("1.1.1.1", "10.0.0.1"), tls)).toBe(false);
    expect(addressesAllowed([], tls)).toBe(false);
    expect(addressesAllowed(at("127.0.0.1", "10.0.0.1"), { tls: false, allowLoopback: true })).toBe(false);
  });
});

describe("a name is resolved before every request", () => {
  const rule = { tls: true, allowLoopback: false };
  const { signal } = new AbortController();
  const answering = (...addresses: string[]) => () =>
    Promise.resolve(addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 })));

  test("and gives its addresses when all of them are public", async () => {
    expect(await allowedAddresses("a.test", rule, signal, answering("1.1.1.1", "2606:4700::1"))).toEqual([
      { address: "1.1.1.1", family: 4 },
      { address: "2606:4700::1", family: 6 },
    ]);
  });
  test("and gives none when it points inside, now or also", async () => {
    expect(await allowedAddresses("a.test", rule, signal, answering("127.0.0.1"))).toBeUndefined();
    expect(await allowedAddresses("a.test", rule, signal, answering("1.1.1.1", "10.0.0.1"))).toBeUndefined();
    expect(await allowedAddresses("a.test", rule, signal, answering("::ffff:127.0.0.1"))).toBeUndefined();
    expect(await allowedAddresses("a.test", rule, signal, answering())).toBeUndefined();
  });
  test("but an address is not asked for", async () => {
    const ask = () => Promise.reject(new Error("asked"));
    expect(await allowedAddresses("1.1.1.1", rule, signal, ask)).toEqual([{ address: "1.1.1.1", family: 4 }]);
    expect(await allowedAddresses("[::1]", rule, signal, ask)).toBeUndefined();
  });
  test("and a name server that never answers is left behind when the request is aborted", async () => {
    const abort = new AbortController();
    const result = allowedAddresses("a.test", rule, abort.signal, () => new Promise(() => undefined));
    abort.abort(new Error("enough"));
    await expect(result).rejects.toThrow("enough");
  });
});

describe("a provider is refused at creation with bad-url", () => {
  test.each([
    "http://example.org/",
    "ftp://example.org/",
    "file:///etc/passwd",
    "javascript:1",
    "example.org",
    "",
    "https://",
    "//example.org",
    "https://user@example.org/",
    "https://user:pass@example.org/",
    "https://127.0.0.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://017700000001/",
    "https://0/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:8.8.8.8]/",
    "https://localhost/",
    "https://LOCALHOST./",
    "https://a.localhost/",
    "https://10.0.0.1/",
    "https://3232235777/",
    "https://169.254.169.254/latest",
    "https://[fe80::1]/",
    "https://[fd00::1]/",
    "https://１２７.0.0.1/",
    "https://127。0。0。1/",
  ])("%s", (url) => {
    expect(() => webhook({ url, secret })).toThrow(expect.objectContaining({ code: "bad-url" }));
  });

  test.each([
    "http://example.org/",
    "http://10.0.0.1/",
    "https://10.0.0.1/",
    "http://1.1.1.1/",
    "http://0.0.0.0/",
    "http://[::]/",
    "ftp://localhost/",
  ])("%s, also where loopback is allowed", (url) => {
    if (url === "http://example.org/") return expect(() => webhook({ url, secret, allowLoopback: true })).not.toThrow(); // the name decides at send
    expect(() => webhook({ url, secret, allowLoopback: true })).toThrow(expect.objectContaining({ code: "bad-url" }));
  });

  test.each([
    "http://127.0.0.1:1/",
    "http://localhost:1/",
    "https://localhost:1/",
    "http://[::1]:1/",
    "https://example.org/",
    "http://2130706433/",
  ])("but not for %s where loopback is allowed", (url) => {
    expect(webhook({ url, secret, allowLoopback: true }).name).toBe("webhook");
  });

  test("and the error does not repeat the URL, which may hold a key", () => {
    for (const url of ["http://x.example/k3y", "k3y", "https://u:k3y@x.example/", "https://127.0.0.1/k3y"]) {
      const error = (() => {
        try {
          webhook({ url, secret });
        } catch (caught) {
          return caught as Error & { hint: string };
        }
      })();
      expect(`${error?.message} ${error?.hint} ${error?.stack} ${JSON.stringify(error)}`).not.toContain("k3y");
      expect(error?.cause).toBeUndefined();
    }
  });
});

describe("a provider is refused at creation with bad-config", () => {
  const url = "https://push.example.org/";
  test.each([[{ secret: "" }], [{ secret: "short" }], [{ timeoutMs: 0 }], [{ timeoutMs: -1 }], [{ timeoutMs: 1.5 }], [{
    timeoutMs: NaN,
  }], [{ timeoutMs: 1e9 }]])("for %j", (wrong) => {
    expect(() => webhook({ url, secret, ...wrong })).toThrow(expect.objectContaining({ code: "bad-config" }));
  });
});

test("a token is any text of 1 to 1,024 characters", () => {
  const { targetFault } = webhook({ url: "https://push.example.org/", secret });
  expect(targetFault?.({ token: "phone 7" })).toBeUndefined();
  expect(targetFault?.({ token: "" })).toBe("empty");
  expect(targetFault?.({ token: "x".repeat(1_025) })).toContain("longer");
});
