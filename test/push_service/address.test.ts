import type { LookupAddress } from "node:dns";
import { describe, expect, test } from "vitest";
import { addressesAllowed, addressKind } from "../../adapters/push_service/address.ts";
import { checkedLookup, checkLiteral } from "../../adapters/push_service/checked_lookup.ts";

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
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "172.16.0.0",
    "172.31.255.255",
    "192.168.0.1",
    "fc00::1",
    "fd12:3456::1",
    "192.168.255.255",
    "fdff:ffff::1",
  ])("%s is private", (address) => {
    expect(addressKind(address)).toBe("private");
  });

  test.each([
    "::ffff:10.0.0.1",
    "fbff::1",
    "fe00::1",
    "0.0.0.0",
    "0.1.2.3",
    "169.254.0.0",
    "169.254.169.254",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
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
  test("to private addresses only when that is allowed, with TLS and without", () => {
    for (const tls of [true, false]) {
      const allowed = (...addresses: string[]) =>
        addressesAllowed(at(...addresses), { tls, allowLoopback: false, allowPrivate: true });
      expect(allowed("10.0.0.1", "fd00::1")).toBe(true);
      expect(allowed("10.0.0.1", "169.254.169.254")).toBe(false);
      expect(allowed("10.0.0.1", "127.0.0.1")).toBe(false);
      expect(allowed("10.0.0.1", "1.1.1.1")).toBe(tls);
    }
    expect(addressesAllowed(at("10.0.0.1"), { tls: true, allowLoopback: true })).toBe(false);
  });
  test("nowhere when one of several addresses is forbidden, or there is none", () => {
    expect(addressesAllowed(at("1.1.1.1", "10.0.0.1"), tls)).toBe(false);
    expect(addressesAllowed([], tls)).toBe(false);
    expect(addressesAllowed(at("127.0.0.1", "10.0.0.1"), { tls: false, allowLoopback: true })).toBe(false);
  });
});

describe("a name is looked up for every connection", () => {
  const rule = { tls: true, allowLoopback: false };
  const refused = expect.objectContaining({ code: "ERR_ADDRESS_NOT_ALLOWED" });
  const answering = (...addresses: string[]) => () =>
    Promise.resolve(addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 })));
  const found = (ask: () => Promise<LookupAddress[]>, all: boolean) =>
    new Promise((resolve, reject) => {
      checkedLookup(rule, ask)("a.test", { all }, (error, address, family) => {
        if (error === null) resolve([address, family]);
        else reject(error);
      });
    });

  test("and gives its addresses when all of them are public", async () => {
    const ask = answering("1.1.1.1", "2606:4700::1");
    expect(await found(ask, false)).toEqual(["1.1.1.1", 4]);
    expect(await found(ask, true)).toEqual([await ask(), undefined]);
  });

  test.each([["127.0.0.1"], ["1.1.1.1", "10.0.0.1"], ["::ffff:127.0.0.1"], []])(
    "and gives none where it points to %s, %s",
    async (...to) => {
      await expect(found(answering(...to), false)).rejects.toEqual(refused);
      await expect(found(answering(...to), true)).rejects.toEqual(refused);
    },
  );

  test("and passes on what the name server says", async () => {
    const error = Object.assign(new Error("no such name"), { code: "ENOTFOUND" });
    await expect(found(() => Promise.reject(error), true)).rejects.toBe(error);
  });

  test("but an address is checked without it", () => {
    expect(() => checkLiteral("[::1]", rule)).toThrow(refused);
    expect(() => checkLiteral("10.0.0.1", rule)).toThrow(refused);
    expect(() => checkLiteral("1.1.1.1", rule)).not.toThrow();
    expect(() => checkLiteral("a.test", rule)).not.toThrow();
    expect(() => checkLiteral("127.0.0.1", { ...rule, allowLoopback: true })).not.toThrow();
  });
});
