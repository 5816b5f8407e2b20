import type { Story, StoryLine } from "../story.ts";
import { make } from "./dom.ts";
import { isHere } from "./installation.ts";
import { addressee, clock, fullNameOf, kindOf, type Sentence, sentence } from "./words.ts";

const SHOWN = 40;

/** The log of decisions: a card for each message, the newest first. */
export interface Stories {
  add(story: Story): void;
  tell(line: StoryLine): void;
}

/** @param open a click on a message */
export function createStories(list: HTMLElement, open: (story: Story) => void): Stories {
  const cards = new Map<string, { story: Story; told: StoryLine[]; lines: HTMLElement }>();

  function add(story: Story): void {
    if (cards.has(story.id)) return;
    const card = make("li", "story");
    card.dataset.id = story.id;
    const lines = make("ol", "lines");
    card.append(headline(story, open), lines);
    list.prepend(card);
    cards.set(story.id, { story, told: [], lines });
    for (const line of story.lines) tell(line);
    while (list.children.length > SHOWN) {
      const oldest = list.lastElementChild as HTMLElement;
      cards.delete(oldest.dataset.id ?? "");
      oldest.remove();
    }
  }

  function tell(line: StoryLine): void {
    const card = cards.get(line.id);
    if (card === undefined || !concernsThisPage(line)) return;
    const said = sentence(line, card.story, card.told);
    card.told.push(line);
    if (said === undefined) return;
    for (const passing of card.lines.querySelectorAll<HTMLElement>("[data-passing]")) {
      if (passing.dataset.device === line.device) passing.remove();
    }
    card.lines.append(drawLine(line, card.story, said));
  }

  return { add, tell };
}

/** Devices of other browsers are told of in the explanation only. */
export function concernsThisPage({ kind, line }: StoryLine): boolean {
  return kind === "counted" || isHere(line);
}

function headline(story: Story, open: (story: Story) => void): HTMLElement {
  const button = make("button", "");
  button.type = "button";
  button.title = "The whole story";
  button.onclick = () => open(story);
  const when = make("time", "", clock(story.sentAt));
  const route = make("span", "route", "to ");
  route.dataset.person = story.to;
  route.append(make("i", "", addressee(story)));
  if (story.from !== undefined) route.append(`, from ${story.from}`);
  button.append(make("b", "", story.content ?? "A message from an app tab"), when, route);
  return button;
}

function drawLine(line: StoryLine, story: Story, { text, tone, passing }: Sentence): HTMLElement {
  const item = make("li", "line");
  item.dataset.tone = tone;
  item.dataset.kind = line.kind;
  item.dataset.device = line.device;
  if (line.line !== undefined) item.dataset.line = line.line;
  if (passing) item.dataset.passing = "";
  // What the engine only counts is nobody's in particular.
  if (line.kind !== "counted") item.append(make("span", "who", story.to === "*" ? fullNameOf(line) : kindOf(line.line)));
  item.append(make("span", "said", text));
  return item;
}
