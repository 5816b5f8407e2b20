/**
 * `npm test`: the whole suite on Node, then the same inside Deno, then each failure once more. The last line is the
 * sum of both.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** The part of vitest's JSON report that is counted, and what is said again of a test that failed. */
interface Report {
  numPassedTests: number;
  testResults: {
    name: string;
    message: string;
    status: string;
    assertionResults: { status: string; fullName: string; failureMessages: string[] }[];
  }[];
}

interface Sum {
  passed: number;
  failed: number;
  /** A line or more for each test that failed: its file, its name and the error. */
  failures: string[];
}

/** The tests of a run that failed, and the files that could not be collected. */
function failuresOf(report: Report): string[] {
  return report.testResults.filter(({ status }) => status === "failed").flatMap(({ name, message, assertionResults }) => {
    const failed = assertionResults.filter(({ status }) => status === "failed");
    if (failed.length === 0) return [`${name}\n${message}`];
    return failed.map(({ fullName, failureMessages }) => `${name}: ${fullName}\n${failureMessages.join("\n")}`);
  });
}

/** What one run adds: a run that failed counts at least one failure, also when no test of it could be collected. */
function count(file: string, exitCode: number | null): Sum {
  try {
    const report = JSON.parse(readFileSync(file, "utf8")) as Report;
    const failures = failuresOf(report);
    if (failures.length === 0 && (exitCode !== 0 || report.numPassedTests === 0)) failures.push(`exit code ${exitCode}`);
    return { passed: report.numPassedTests, failed: failures.length, failures };
  } catch (error) {
    return { passed: 0, failed: 1, failures: [`no test report: ${(error as Error).message}`] };
  }
}

function run(command: string, args: string[]): number | null {
  const { status, error } = spawnSync(command, args, { stdio: ["ignore", "inherit", "inherit"] });
  if (error !== undefined) console.error(error.message);
  return status;
}

const sum: Sum = { passed: 0, failed: 0, failures: [] };
const runtimes = [
  { name: "Node", command: process.execPath, args: ["node_modules/vitest/vitest.mjs", "run"] },
  { name: "Deno", command: "deno", args: ["run", "-A", "npm:vitest", "run"] },
];

for (const get of ["test/browser/get_chromium.ts", "test/nats/get_nats_server.ts", "test/proxies/get_proxies.ts"]) {
  if (run(process.execPath, [get]) === 0) continue;
  sum.failed++;
  sum.failures.push(`this machine: ${get}`);
}
const reports = mkdtempSync(join(tmpdir(), "peyk-test-"));
try {
  for (const { name, command, args } of runtimes) {
    console.log(`\n${name}`);
    const file = join(reports, `${name}.json`);
    const exitCode = run(command, [...args, "--reporter=default", "--reporter=json", `--outputFile.json=${file}`]);
    const { passed, failed, failures } = count(file, exitCode);
    sum.passed += passed;
    sum.failed += failed;
    sum.failures.push(...failures.map((failure) => `${name}: ${failure}`));
  }
} finally {
  rmSync(reports, { recursive: true, force: true });
}
for (const failure of sum.failures) console.log(`\nfailed on ${failure}`);
console.log(`${sum.passed} passed, ${sum.failed} failed`);
if (sum.failed > 0) process.exitCode = 1;
