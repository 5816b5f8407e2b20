import {
  canBe,
  CELLS,
  type Laptop,
  LAPTOPS,
  OUTCOMES,
  OWN,
  ownSentenceOf,
  type Phone,
  PHONES,
  REASONS,
  type Scene,
  SCENES,
  sentenceOf,
} from "./outcomes.ts";

/** What a cell says on the page. */
const WORDS: Readonly<Record<string, string>> = {
  push: "**rings**",
  none: "silent",
  idle: "**after 2 min**",
  left: "had left",
  again: "asked again",
  "-now": "(a)",
  "-never": "(b)",
  "-moment": "(c)",
  "-begin": "(d)",
  "-open": "(e)",
};

/** The tables' headings, and what is to be known for each. */
const TABLES: Readonly<Record<Scene, readonly [title: string, ...notes: string[]]>> = {
  "due, at once": ["As the message comes"],
  "due, in time": [
    "Later, but before your phone rings",
    "A push is held for up to 5 s while you are at the laptop, and longer where your phone may still show the message itself.",
  ],
  "due, too late": [
    "When the push is on its way already",
    "Nothing calls it back.",
  ],
  "low, at once": [
    "As a message of low urgency comes",
    "Its push leaves after a minute, together with others, and only if the app on your phone is not in front.",
  ],
  "low, in time": ["Half a minute after a message of low urgency"],
  "low, too late": ["When the push of low urgency is on its way already"],
  "retry, in time": [
    "After the push service said: not now",
    "The push is tried again a little later, so there is time to spare it.",
  ],
  "restart, at once": ["As the message comes; then the server is restarted"],
  "restart, in time": ["After a restart of the server, before your phone rings"],
  "restart, too late": [
    "After a restart of the server, while the push was on its way",
    "Whether it arrived is not known: it is asked for again, and a phone shows the two as one.",
  ],
};

/** What the page is read by: a cell that says most. */
const EXAMPLE: { scene: Scene; laptop: Laptop; phone: Phone } = { scene: "due, at once", laptop: "idles", phone: "away" };

/** deno fmt's. */
const WIDTH = 130;

/** The page of outcomes, as markdown. */
export function outcomesPage(): string {
  return [
    "# Does my phone ring?",
    wrapped(
      "You have a phone and a laptop, and a message comes for you. It is sent to both; what this page tells is whether your phone rings " +
        "as well. In short: it does not when it shows the message itself, and not when you have dealt with the message at the laptop before " +
        "the push left. You have, when you touched the laptop within 30 s before it showed the message, or when you read or dismissed it " +
        "there. When you left the laptop a while ago, your phone waits for a touch there until two minutes after your last one.",
    ),
    wrapped(
      "Each table is for a moment at which something happens at the laptop. Its rows are what happens there, its columns where your phone " +
        "is when the message comes. The rules behind it, and how to set the times: " +
        "[How a message is decided](../README.md#how-a-message-is-decided).",
    ),
    wrapped(`For example **${EXAMPLE.laptop}** and **${EXAMPLE.phone}** in the first table: ${exampleSentence()}`),
    wrapped(
      "A test plays every cell on the engine. The page is made from [outcomes.ts](../test/judge/outcomes.ts) by `npm run outcomes`.",
    ),
    "## Words",
    "Where your phone is (columns):",
    list(PHONES),
    "What happens at the laptop (rows):",
    list(LAPTOPS),
    "What comes of it (cells):",
    list(OUTCOMES, (key) => WORDS[key]!.replaceAll("*", "")),
    "Cells without an answer, and why:",
    Object.entries(REASONS).map(([key, words]) => item(`${WORDS[key]} ${words}.`)).join("\n"),
    ...Object.entries(TABLES).flatMap((
      [scene, [title, ...notes]],
    ) => [`## ${title}`, ...notes.map((note) => wrapped(note)), table(scene)]),
    "## Your own message",
    OWN.map((own) => item(ownSentenceOf(own))).join("\n"),
    "",
  ].join("\n\n").replace(/\n+$/, "\n");
}

function exampleSentence(): string {
  const { laptop, phone, scene } = EXAMPLE;
  const cell = CELLS.find((cell) => cell.scene === scene && cell.laptop === laptop && cell.phone === phone)!;
  if (!canBe(cell)) throw new Error("the example is a cell without an answer");
  return lowered(sentenceOf(cell).replace(`, ${SCENES[scene]}`, ""));
}

function list(words: Readonly<Record<string, string>>, name: (key: string) => string = (key) => key): string {
  return Object.entries(words).map(([key, sentence]) => item(`**${name(key)}**: ${lowered(sentence)}.`)).join("\n");
}

function item(text: string): string {
  return wrapped(text, WIDTH - 2).split("\n").map((line, index) => `${index === 0 ? "- " : "  "}${line}`).join("\n");
}

/** Lines of words, none longer than `width`. A link is one word. */
function wrapped(text: string, width: number = WIDTH): string {
  const lines = [""];
  for (const word of text.split(/ (?![^[]*\])/)) {
    const line = lines.at(-1)!;
    if (line === "") lines[lines.length - 1] = word;
    else if (line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = `${line} ${word}`;
  }
  return lines.join("\n");
}

function lowered(sentence: string): string {
  return `${sentence[0]!.toLowerCase()}${sentence.slice(1)}`;
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
  const head = ["laptop ↓ phone →", ...phones];
  const widths = head.map((name, column) => Math.max(name.length, ...rows.map((row) => row[column]!.length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join(" | ")} |`;
  return [line(head), `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...rows.map(line)].join("\n");
}
