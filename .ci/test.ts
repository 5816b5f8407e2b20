/**
 * `npm test`: the whole suite on Node, then the same inside Deno. The last line is the sum of both.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** The part of vitest's JSON report that is counted. */
interface Report {
  numPassedTests: number;
  numFailedTests: number;
  testResults: { status: string; assertionResults: { status: string }[] }[];
}

interface Sum {
  passed: number;
  failed: number;
}

/** What one run adds: a run that failed counts at least one failure, also when no test of it could be collected. */
function count(file: string, exitCode: number | null): Sum {
  try {
    const report = JSON.parse(readFileSync(file, "utf8")) as Report;
    const uncollected = report.testResults.filter((result) => {
      return result.status === "failed" && !result.assertionResults.some((test) => test.status === "failed");
    });
    const failed = report.numFailedTests + uncollected.length;
    const broken = exitCode !== 0 || report.numPassedTests === 0;
    return { passed: report.numPassedTests, failed: broken ? Math.max(failed, 1) : failed };
  } catch (error) {
    console.error(`no test report: ${(error as Error).message}`);
    return { passed: 0, failed: 1 };
  }
}

function run(command: string, args: string[]): number | null {
  const { status, error } = spawnSync(command, args, { stdio: ["ignore", "inherit", "inherit"] });
  if (error !== undefined) console.error(error.message);
  return status;
}

const sum: Sum = { passed: 0, failed: 0 };
const runtimes = [
  { name: "Node", command: process.execPath, args: ["node_modules/vitest/vitest.mjs", "run"] },
  { name: "Deno", command: "deno", args: ["run", "-A", "npm:vitest", "run"] },
];

for (const get of ["test/browser/get_chromium.ts", "test/nats/get_nats_server.ts"]) {
  if (run(process.execPath, [get]) !== 0) sum.failed++;
}
const reports = mkdtempSync(join(tmpdir(), "peyk-test-"));
try {
  for (const { name, command, args } of runtimes) {
    console.log(`\n${name}`);
    const file = join(reports, `${name}.json`);
    const exitCode = run(command, [...args, "--reporter=default", "--reporter=json", `--outputFile.json=${file}`]);
    const { passed, failed } = count(file, exitCode);
    sum.passed += passed;
    sum.failed += failed;
  }
} finally {
  rmSync(reports, { recursive: true, force: true });
}
console.log(`${sum.passed} passed, ${sum.failed} failed`);
if (sum.failed > 0) process.exitCode = 1;
