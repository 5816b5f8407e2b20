import { expect, test } from "vitest";
import { PeykError } from "../../src/protocol/errors.ts";
import { checkPolicy, DEFAULT_POLICY } from "../../src/session/policy.ts";
import type { Policy } from "../../src/session/policy.ts";

function faultOf(given: unknown): PeykError {
  try {
    checkPolicy(given as Partial<Policy>);
  } catch (error) {
    if (error instanceof PeykError) return error;
    throw error;
  }
  throw new Error("accepted");
}

test("checkPolicy() gives the documented defaults for what is absent", () => {
  expect(checkPolicy({})).toEqual({
    ackTimeoutMs: 3_000,
    graceMs: 15_000,
    activeElsewhereMs: 5_000,
    inputMs: 30_000,
    leftMs: 120_000,
    coalesceMs: 60_000,
    drainWindowMs: 5_000,
  });
  expect(checkPolicy({ graceMs: undefined } as unknown as Partial<Policy>)).toEqual(DEFAULT_POLICY);
});

test("checkPolicy() keeps what was given, zero too, and leaves the argument and the defaults as they were", () => {
  const given = { graceMs: 0, ackTimeoutMs: 600_000 };
  expect(checkPolicy(given)).toEqual({ ...DEFAULT_POLICY, graceMs: 0, ackTimeoutMs: 600_000 });
  expect(given).toEqual({ graceMs: 0, ackTimeoutMs: 600_000 });
  expect(checkPolicy({})).toEqual(DEFAULT_POLICY);
  expect(DEFAULT_POLICY.graceMs).toBe(15_000);
});

const FIELDS = Object.keys(DEFAULT_POLICY) as (keyof Policy)[];
const NONSENSE: readonly unknown[] = [-1, 0.5, NaN, Infinity, 24 * 3_600_000 + 1, "3000", null, 10n, {}];

test.each(FIELDS)("checkPolicy() refuses nonsense for %s and names it", (field) => {
  for (const value of NONSENSE) {
    const fault = faultOf({ [field]: value });
    expect(fault.code).toBe("bad-config");
    expect(fault.message).toContain(field);
    expect(fault.hint).toContain(String(DEFAULT_POLICY[field]));
  }
});

test("checkPolicy() refuses a field that it does not know, since a typo would silently mean the default", () => {
  for (const field of ["graceMS", "toString", "grace"]) {
    const fault = faultOf({ [field]: 1 });
    expect(fault.code).toBe("bad-config");
    expect(fault.message).toContain(field);
    expect(fault.hint).toContain("graceMs");
  }
});
