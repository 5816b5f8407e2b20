import { spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { describe, expect, test } from "vitest";
import { webPush } from "../../adapters/web_push.ts";

const cli = join(import.meta.dirname!, "../../adapters/cli/peyk.ts");
/** Deno names itself here as well. */
const run = process.versions["deno"] === undefined ? [cli] : ["run", "-A", cli];

function peyk(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...run, ...args], { encoding: "utf8", timeout: 30_000 });
  return { status, stdout, stderr };
}

describe("peyk vapid", () => {
  test("prints a new pair as lines of an .env file, and nothing else there", () => {
    const { status, stdout, stderr } = peyk("vapid");
    expect(status).toBe(0);
    const [, publicKey, privateKey] = /^VAPID_PUBLIC_KEY=([\w-]{87})\nVAPID_PRIVATE_KEY=([\w-]{43})\n$/.exec(stdout)!;
    expect(stderr).toContain("Keep this pair");
    webPush({
      subject: "mailto:push@example.org",
      keys: [{ publicKey: publicKey!, privateKey: privateKey! }],
      url: "https://example.org",
    });
    expect(stderr).not.toContain(privateKey);
  });

  test("prints it as JSON", () => {
    const [one, other] = [peyk("vapid", "--json"), peyk("vapid", "--json")].map(({ stdout }) => JSON.parse(stdout));
    webPush({ subject: "mailto:push@example.org", keys: [one, other], url: "https://example.org" });
  });
});

test.each([[], ["vapids"], ["vapid", "--yaml"], ["vapid", "--json", "more"], ["--help"]])(
  "peyk %s %s %s tells how it is used",
  (...args) => {
    const { status, stdout, stderr } = peyk(...args);
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toContain("peyk vapid");
  },
);
