import { describe, expect, test } from "vitest";
import { webhook } from "../../adapters/webhook.ts";

const secret = "a secret of enough length";

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

  test.each([
    "http://1.1.1.1/",
    "http://169.254.169.254/",
    "https://169.254.169.254/",
    "http://127.0.0.1/",
    "https://localhost/",
    "http://localhost/",
    "http://[fe80::1]/",
    "ftp://10.0.0.1/",
  ])(
    "%s, also where private addresses are allowed",
    (url) => {
      expect(() => webhook({ url, secret, allowPrivate: true })).toThrow(expect.objectContaining({ code: "bad-url" }));
    },
  );

  test.each([
    "http://10.0.0.1/",
    "https://10.0.0.1/",
    "http://192.168.1.2:8080/push",
    "http://[fd00::1]/",
    "http://push:8080/",
    "https://1.1.1.1/",
  ])(
    "but not for %s where private addresses are allowed",
    (url) => {
      expect(webhook({ url, secret, allowPrivate: true }).name).toBe("webhook");
    },
  );

  test("with a hint that names both ways to allow more", () => {
    expect(() => webhook({ url: "http://push:8080", secret })).toThrow(
      expect.objectContaining({ hint: expect.stringMatching(/allowLoopback.*allowPrivate/) }),
    );
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
  test.each([
    [{ secret: "" }],
    [{ secret: "short" }],
    [{ timeoutMs: 0 }],
    [{ timeoutMs: -1 }],
    [{ timeoutMs: 1.5 }],
    [{
      timeoutMs: NaN,
    }],
    [{ timeoutMs: 1e9 }],
    [{ alowPrivate: true }],
    [{ allowLoopBack: true }],
  ])("for %j", (wrong) => {
    expect(() => webhook({ url, secret, ...wrong })).toThrow(expect.objectContaining({ code: "bad-config" }));
  });
});

test("a token is any text of 1 to 1,024 characters", () => {
  const { targetFault } = webhook({ url: "https://push.example.org/", secret });
  expect(targetFault?.({ token: "phone 7" })).toBeUndefined();
  expect(targetFault?.({ token: "" })).toBe("empty");
  expect(targetFault?.({ token: "x".repeat(1_025) })).toContain("longer");
});
