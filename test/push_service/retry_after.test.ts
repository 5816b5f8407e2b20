import { describe, expect, test } from "vitest";
import { retryAfter } from "../../adapters/push_service/retry_after.ts";

describe("Retry-After", () => {
  const now = Date.UTC(1994, 10, 6, 8, 49, 7); // half a minute before the RFC's examples
  test.each([
    ["30", 30_000],
    [" 30 ", 30_000],
    ["Sun, 06 Nov 1994 08:49:37 GMT", 30_000],
    ["Sunday, 06-Nov-94 08:49:37 GMT", 30_000],
    ["Sun Nov  6 08:49:37 1994", 30_000],
    ["Sun, 06 Nov 1994 08:00:00 GMT", 1_000],
    ["Sun, 06 Nov 2094 08:49:37 GMT", 3_600_000],
    ["0", 1_000],
    ["3601", 3_600_000],
    ["9".repeat(400), 3_600_000],
    ["Sun, 99 Nov 1994 99:99:99 GMT", undefined],
    ["-1", undefined],
    ["1e3", undefined],
    ["0x10", undefined],
    ["", undefined],
    [undefined, undefined],
  ])("%j means %j ms", (header, ms) => expect(retryAfter(header, now)).toBe(ms));
});
