import { NEWS, people, policy } from "../people.ts";
import type { Story } from "../story.ts";
import { cut, explain, listen, send } from "./demo_server.ts";
import { createDevice, type StageDevice } from "./device.ts";
import { clone, part } from "./dom.ts";
import { showExplanation } from "./explanation.ts";
import { lineOf } from "./installation.ts";
import { offerScenarios } from "./scenarios.ts";
import { concernsThisPage, createStories } from "./stories.ts";
import { stretch } from "./words.ts";

const banner = part(document, "#banner");
const explanation = part(document, "#explanation") as HTMLDialogElement;

for (const fact of document.querySelectorAll<HTMLElement>("[data-policy]")) {
  fact.textContent = stretch(policy[fact.dataset.policy as keyof typeof policy]);
}
explanation.onclick = (event) => event.target === explanation && explanation.close();

// The devices are this browser's: two tabs can't both be them. A tab that was just left may need a moment to let go.
takeStage({ signal: AbortSignal.timeout(1_000) });

async function takeStage(how: LockOptions): Promise<void> {
  try {
    await navigator.locks.request("demo-stage", how, play);
  } catch (error) {
    const { name } = error as Error;
    if (name === "TimeoutError") offerToMove();
    // Another tab took over: this one begins anew, and finds the stage taken.
    else if (name === "AbortError") location.reload();
    else complain(error);
  }
}

function offerToMove(): void {
  const move = part(banner, "button");
  move.hidden = false;
  move.onclick = () => {
    move.hidden = banner.hidden = true;
    void takeStage({ steal: true });
  };
  say("The demo plays in another tab of this browser.");
}

/** Plays until another tab takes the stage. */
async function play(): Promise<never> {
  const devices = people.flatMap((person) => {
    const element = clone("person-template");
    element.dataset.person = person.id;
    part(element, ".name").textContent = person.name;
    (part(element, ".solo") as HTMLAnchorElement).href = `/?solo=${person.id}`;
    part(document, ".people").append(element);
    return person.devices.map((kind) => {
      const device = createDevice(person, kind, lineOf(person.id, kind), cut);
      part(element, ".devices").append(device.element);
      return device;
    });
  });
  const byLine = new Map<string | undefined, StageDevice>(devices.map((device) => [device.line, device]));
  let opened: Story | undefined;
  const tellAll = async (story: Story): Promise<void> => {
    opened = story;
    try {
      const explained = await explain(story);
      if (opened === story) showExplanation(explanation, story, explained);
    } catch (error) {
      complain(error);
    }
  };
  explanation.onclose = () => opened = undefined;
  const stories = createStories(part(document, "#stories"), tellAll);

  listen({
    hello({ stories: told, sessions }) {
      banner.hidden = true;
      // What only concerned devices of other browsers is theirs.
      told.filter(({ lines }) => lines.length === 0 || lines.some(concernsThisPage)).forEach(stories.add);
      for (const { line, state } of sessions) byLine.get(line)?.show(state);
    },
    message: stories.add,
    line(line) {
      stories.tell(line);
      // An open explanation goes on.
      if (opened?.id === line.id) void tellAll(opened);
    },
    session: ({ line, state }) => byLine.get(line)?.show(state),
    push: (push) => byLine.get(push.line)?.land(push),
  }, () => say("The demo’s server does not answer. The page goes on when it does."));
  prepareComposer();
  offerScenarios(part(document, ".scenarios"), devices, complain);
  return await new Promise<never>(() => {});
}

function prepareComposer(): void {
  const form = part(document, "#composer") as HTMLFormElement;
  const addressees = [...people.map(({ id, name }) => ({ value: id, name })), { value: "*", name: `Everyone (${NEWS})` }];
  for (const [index, { value, name }] of addressees.entries()) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type: "radio", name: "to", value, checked: index === 0 });
    const text = document.createElement("span");
    text.textContent = name;
    label.append(input, text);
    part(form, ".to").append(label);
  }
  form.onsubmit = async (event) => {
    event.preventDefault();
    const fields = new FormData(form);
    const to = String(fields.get("to"));
    const content = String(fields.get("content"));
    const urgency = fields.has("low") ? "low" : "normal";
    try {
      await send({ to, content, urgency, ...(to === "*" ? { channel: NEWS } : {}) });
      (part(form, "[name=content]") as HTMLInputElement).value = "";
    } catch (error) {
      complain(error);
    }
  };
}

function complain(error: unknown): void {
  say(error instanceof Error ? error.message : String(error));
}

function say(text: string): void {
  part(banner, "span").textContent = text;
  banner.hidden = false;
}
