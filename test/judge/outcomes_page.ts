import { CELLS, LAPTOPS, OUTCOMES, OWN, ownSentenceOf, PHONES, REASONS, SCENES } from "./outcomes.ts";

/** What a cell says on the page. */
const WORDS: Readonly<Record<string, string>> = {
  push: "rings",
  none: "silent",
  idle: "after 2 min",
  left: "had left",
  again: "asked again",
  "-now": "a",
  "-never": "b",
  "-moment": "c",
  "-begin": "d",
  "-open": "e",
};

/** The page of outcomes, as markdown. */
export function outcomesPage(): string {
  const tables = Object.entries(SCENES).map(([scene, words]) => [`## It happens ${words}`, table(scene)].join("\n\n"));
  return [
    "# Does my phone ring?",
    "A message comes to your phone and your laptop. What your phone does depends on where it is, on what happens at the laptop, and " +
    "on\nwhen. Made from `test/judge/outcomes.ts` by `npm run outcomes`; every cell is played on the engine by a test.",
    "Your phone (columns):",
    list(PHONES),
    "At the laptop (rows):",
    list(LAPTOPS),
    "What comes of it:",
    Object.entries(OUTCOMES).map(([key, words]) => `- **${WORDS[key]}**: ${words}.`).join("\n"),
    "What can't be, and why:",
    Object.entries(REASONS).map(([key, words]) => `- **${WORDS[key]}**: ${words}.`).join("\n"),
    ...tables,
    "## Your own message",
    OWN.map((own) => `- ${ownSentenceOf(own)}`).join("\n"),
    "",
  ].join("\n\n").replace(/\n+$/, "\n");
}

function list(words: Readonly<Record<string, string>>): string {
  return Object.entries(words).map(([key, sentence]) => `- **${key}**: ${sentence[0]!.toLowerCase()}${sentence.slice(1)}.`).join(
    "\n",
  );
}

function table(scene: string): string {
  const phones = Object.keys(PHONES);
  const rows = Object.keys(LAPTOPS).map((laptop) => [
    laptop,
    ...phones.map((phone) => {
      const cell = CELLS.find((cell) => cell.scene === scene && cell.laptop === laptop && cell.phone === phone)!;
      return WORDS[cell.expected]!;
    }),
  ]);
  const head = ["laptop", ...phones];
  const widths = head.map((name, column) => Math.max(name.length, ...rows.map((row) => row[column]!.length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join(" | ")} |`;
  return [line(head), `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...rows.map(line)].join("\n");
}
