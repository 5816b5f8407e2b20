import type { NamedExplanation, Story, StoryLine } from "../story.ts";
import { make } from "./dom.ts";
import { isHere } from "./installation.ts";
import { addressee, fullNameOf, ruleInWords, type Sentence, sentence, stretch } from "./words.ts";

/** Shows the whole story of a message, as the engine's `explain()` tells it. */
export function showExplanation(dialog: HTMLDialogElement, story: Story, explanation: NamedExplanation): void {
  const header = make("header", "");
  const close = make("button", "", "×");
  close.type = "button";
  close.ariaLabel = "Close";
  close.onclick = () => dialog.close();
  const title = make("h2", "", story.content ?? "A message from an app tab");
  title.id = "explanation-title";
  header.append(title, close);

  const { position, topic } = explanation;
  const when = new Date(story.sentAt).toLocaleTimeString([], { hour12: false });
  const summary = make("p", "summary", `To ${addressee(story)} at ${when}. `);
  summary.append(make("code", "", topic), `, entry ${position.offset} of this log. `, deliveredInWords(explanation));
  const lines = explanation.devices
    .flatMap(({ userId, device, line, events }) => events.map((event) => ({ id: story.id, userId, device, line, ...event })))
    .toSorted((a, b) => a.at - b.at);
  const here = explanation.devices.filter(({ line }) => isHere(line)).map((device) => deviceSection(device, story, lines));
  const elsewhere = explanation.devices.filter(({ line }) => !isHere(line)).map((device) => deviceSection(device, story, lines));
  dialog.replaceChildren(header, summary, ...countsOf(explanation), ...here, ...folded(elsewhere));
  if (!dialog.open) dialog.showModal();
}

function deliveredInWords({ delivered, verdict, topic }: NamedExplanation): string {
  if (verdict === "no-device") return "Nobody has signed in under that name as yet: it waits.";
  if (verdict === "not-subscribed") return "Its owner is not subscribed to this channel: it waits.";
  const devices = delivered === 1 ? "one device" : `${delivered} devices`;
  return delivered === 0 ? "No device has handled it yet." : `Handled by ${devices}${topic.startsWith("*") ? " so far" : ""}.`;
}

/** Of a public message the engine counts devices by rule. */
function countsOf({ counts }: NamedExplanation): HTMLElement[] {
  const rules = Object.entries(counts);
  if (rules.length === 0) return [];
  const section = make("section", "");
  section.append(make("h3", "", "How it went out"));
  for (const [rule, count] of rules) {
    section.append(make("p", "", `${count} ${count === 1 ? "device" : "devices"}: ${ruleInWords(rule)}`));
  }
  return [section];
}

/** Devices of other browsers that play here, or once did. */
function folded(sections: readonly HTMLElement[]): HTMLElement[] {
  if (sections.length === 0) return [];
  const details = make("details", "");
  details.append(make("summary", "", `${sections.length} more in other browsers`), ...sections);
  return [details];
}

function deviceSection(tag: NamedExplanation["devices"][number], story: Story, lines: readonly StoryLine[]): HTMLElement {
  const section = make("section", "");
  section.append(make("h3", "", fullNameOf(tag)));
  if (tag.rule !== undefined) section.append(make("p", "", `${capitalized(ruleInWords(tag.rule))}.`));
  const timeline = make("ol", "timeline");
  for (const line of lines) {
    if (line.device !== tag.device) continue;
    const { text, tone } = sentence(line, story, lines.slice(0, lines.indexOf(line))) ?? seen;
    const item = make("li", "");
    item.dataset.tone = tone;
    const after = line.at - story.sentAt;
    item.append(make("time", "", after < 1 ? "at once" : `+ ${stretch(after)}`), make("span", "", text));
    timeline.append(item);
  }
  section.append(timeline);
  return section;
}

/** Too much for the log; here is the place. */
const seen: Sentence = { text: "the device has it", tone: "plain" };

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
