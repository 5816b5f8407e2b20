import process from "node:process";
import { parseArgs } from "node:util";
import { USUAL } from "./chances.ts";
import { isWrong, report, shrink, type Walk, walk } from "./walk.ts";

/** Walks any number of seeds; says what went wrong first, and how to repeat it. */
const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "200" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    events: { type: "string", default: "300" },
    /** Accounts make load, and an idle user's operations are measured. */
    load: { type: "boolean", default: USUAL.load },
    /** Tells every finding in one line instead of a story. */
    list: { type: "boolean", default: false },
    /** Only these count: a rule, or FAULT. */
    only: { type: "string" },
    /** Failing seeds that are reported. */
    most: { type: "string", default: "3" },
  },
});
const { only } = values;

function narrowed(one: Walk): Walk {
  if (only === undefined) return one;
  return { ...one, findings: one.findings.filter(({ rule }) => rule === only), faults: only === "FAULT" ? one.faults : [] };
}

const from = Number(values.seed ?? values.from);
const count = values.seed === undefined ? Number(values.seeds) : 1;
const events = Number(values.events);
const startedAt = performance.now();
const sum = { must: 0, not: 0, may: 0, wrong: 0 };
for (let seed = from; seed < from + count; seed++) {
  const one = narrowed(await walk(seed, events, { load: values.load }));
  sum.must += one.verdict.must;
  sum.not += one.verdict.not;
  sum.may += one.verdict.may;
  if (isWrong(one)) {
    sum.wrong++;
    if (values.list) {
      for (const { rule, device, message, at, text } of one.findings) {
        console.log(`${seed} ${rule} ${device} ${message} ${at} ${text}`);
      }
      for (const fault of one.faults) console.log(`${seed} FAULT ${fault}`);
    } else if (sum.wrong <= Number(values.most)) {
      console.log(`${report(values.seed === undefined && only === undefined ? await shrink(one) : one)}\n`);
    }
  }
  const seconds = Math.round((performance.now() - startedAt) / 1_000);
  if ((seed - from + 1) % 10 === 0) {
    process.stderr.write(`\r${seed - from + 1} of ${count} seeds, ${sum.wrong} wrong, ${seconds} s `);
  }
}
process.stderr.write("\n");
console.log(
  `${count} seeds of ${events} events, ${sum.wrong} wrong; pushes that had to leave ${sum.must}, must not ${sum.not}, open ${sum.may}`,
);
if (sum.wrong > 0) process.exitCode = 1;
