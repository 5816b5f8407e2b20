import { type ErrorCode, PeykError } from "./errors.ts";

/** The fields that a type has: the compiler asks for each, and for no other. */
export type FieldsOf<Type> = Readonly<Record<keyof Type, true>>;

/** How much of a name that somebody made up goes into an error, characters. */
const MAX_SHOWN = 64;

/**
 * Checks that `given` is an object and has no field that isn't known: one that is misspelt would be without effect, and nobody would
 * hear of it. What is undefined counts as absent. Of TypeScript's users the compiler asks the same.
 *
 * @param what stands before the field's name: "publish", "limits"
 * @throws {PeykError} with this code; the hint names the field that is nearest, else all of them
 */
export function checkFields(
  given: unknown,
  known: Readonly<Record<string, unknown>>,
  what: string,
  code: Extract<ErrorCode, "bad-config" | "bad-message">,
): void {
  const all = (): string => `Its fields: ${Object.keys(known).join(", ")}.`;
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new PeykError(code, `${what} is not an object`, { hint: all() });
  }
  for (const field of Object.keys(given)) {
    if (Object.hasOwn(known, field) || (given as Record<string, unknown>)[field] === undefined) continue;
    const nearest = nearestOf(field, Object.keys(known));
    throw new PeykError(code, `${what} has no field "${field.slice(0, MAX_SHOWN).toWellFormed()}"`, {
      hint: nearest === undefined ? all() : `Did you mean "${nearest}"? ${all()}`,
    });
  }
}

/** What a field may hold. "any": whatever there is; another check says more. */
export type Kind = "text" | "number" | "flag" | "function" | "list" | "object" | "any";

/** The fields that a type has, and what each may hold. */
export type KindsOf<Type> = Readonly<Record<keyof Type, Kind>>;

const HOLDS: Readonly<Record<Kind, readonly [wanted: string, holds: (value: unknown) => boolean]>> = {
  text: ["text", (value) => typeof value === "string"],
  number: ["a number", (value) => typeof value === "number" && !Number.isNaN(value)],
  flag: ["true or false", (value) => typeof value === "boolean"],
  function: ["a function", (value) => typeof value === "function"],
  list: ["a list", Array.isArray],
  object: ["an object", (value) => typeof value === "object" && value !== null && !Array.isArray(value)],
  any: ["", () => true],
};

/**
 * The same as {@link checkFields} for options, and looks at what they hold. No error repeats that.
 *
 * @param what "webhook", "keys[0]"
 * @throws {PeykError} `bad-config`, naming the field
 */
export function checkKinds(given: unknown, kinds: Readonly<Record<string, Kind>>, what: string): void {
  checkFields(given, kinds, what, "bad-config");
  for (const [field, value] of Object.entries(given as object)) {
    if (value === undefined) continue;
    const [wanted, holds] = HOLDS[kinds[field]!];
    if (holds(value)) continue;
    const hint = field.endsWith("Ms") ? `${what}: ${field} is a number of milliseconds.` : `${what}: ${field} is ${wanted}.`;
    throw new PeykError("bad-config", `${what}: ${field} is not ${wanted}`, { hint });
  }
}

/** The name that was meant: the one that takes the fewest letters to change, if those are few for its length. */
export function nearestOf(given: string, names: readonly string[]): string | undefined {
  if (given.length > MAX_SHOWN) return undefined;
  const asked = given.toLowerCase();
  let nearest: string | undefined;
  let least = Infinity;
  for (const name of names) {
    const edits = editsBetween(asked, name.toLowerCase());
    if (edits < least && edits <= Math.max(1, Math.floor(name.length / 3))) [nearest, least] = [name, edits];
  }
  return nearest;
}

/** Letters to add, drop, replace, or swap with their neighbour, from one text to the other (optimal string alignment). */
function editsBetween(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1];
      let edits = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (isSame ? 0 : 1));
      if (a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) edits = Math.min(edits, before[j - 2]! + 1);
      next.push(edits);
    }
    [before, row] = [row, next];
  }
  return row[b.length]!;
}
