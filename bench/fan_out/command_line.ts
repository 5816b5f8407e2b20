import process from "node:process";

/** Ends the process: 2 for a wrong flag, 1 for what went wrong. */
export function fail(reason: string, code: 1 | 2 = 2): never {
  console.error(reason);
  process.exit(code);
}

/** Those that a flag lists, in their standing order. */
export function namesOf<Name extends string>(what: string, list: string, known: readonly Name[]): Name[] {
  const names = list.split(",");
  const unknown = names.find((name) => !(known as readonly string[]).includes(name));
  if (unknown !== undefined) fail(`There is no ${what} "${unknown}". There are ${known.join(", ")}.`);
  return known.filter((name) => names.includes(name));
}

/** What a flag says that counts something. */
export function wholeOf(name: string, flag: string | undefined): number | undefined {
  const count = flag === undefined ? undefined : Number(flag);
  if (count !== undefined && !(Number.isInteger(count) && count >= 1)) {
    fail(`${name} takes a whole number from 1, not "${flag}".`);
  }
  return count;
}
