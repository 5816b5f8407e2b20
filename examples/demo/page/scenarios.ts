import type { StageDevice, Switch } from "./device.ts";
import { type Draft, send } from "./demo_server.ts";

/** A little play: how the devices stand, and what is sent then. */
interface Scenario {
  readonly title: string;
  /** By userId and kind. What else the addressee has is open. */
  readonly set: Readonly<Record<string, Switch>>;
  readonly draft: Draft;
  /** How long after the send a device comes back, and which. */
  readonly later?: { readonly ms: number; readonly set: Readonly<Record<string, Switch>> };
}

const scenarios: readonly Scenario[] = [
  {
    title: "Reza’s phone freezes",
    set: { "reza phone": "frozen" },
    draft: { to: "reza", content: "The train leaves at six, platform 4" },
  },
  {
    title: "Sara reads on the laptop",
    set: { "sara phone": "background" },
    draft: { to: "sara", content: "Lunch moved to one o’clock" },
  },
  {
    title: "The desk that was left",
    set: { "sara laptop": "left", "sara phone": "background" },
    draft: { to: "sara", content: "The taxi is at the door" },
  },
  {
    title: "Mina goes through a tunnel",
    set: { "mina tablet": "airplane" },
    draft: { to: "mina", content: "Call me when you are there" },
    later: { ms: 6_000, set: { "mina tablet": "open" } },
  },
  {
    title: "News for everyone",
    set: { "sara phone": "background", "reza phone": "closed" },
    draft: { to: "*", channel: "news", content: "The library stays open until ten" },
  },
];

/** Puts a button for each scenario. One runs at a time. */
export function offerScenarios(place: HTMLElement, devices: readonly StageDevice[], failed: (error: unknown) => void): void {
  for (const scenario of scenarios) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = scenario.title;
    button.onclick = async () => {
      for (const other of place.querySelectorAll("button")) other.disabled = true;
      button.ariaBusy = "true";
      try {
        await play(scenario, devices);
      } catch (error) {
        failed(error);
      } finally {
        for (const other of place.querySelectorAll("button")) other.disabled = false;
        button.ariaBusy = null;
      }
    };
    place.append(button);
  }
}

async function play({ set, draft, later }: Scenario, devices: readonly StageDevice[]): Promise<void> {
  const players = devices.filter(({ person }) => draft.to === "*" || draft.to === person.id);
  const stand = (as: typeof set) => Promise.all(players.map((device) => device.switchTo(as[nameOf(device)] ?? "open")));
  await stand(set);
  await send(draft);
  if (later === undefined) return;
  await new Promise((resolve) => setTimeout(resolve, later.ms));
  await stand(later.set);
}

function nameOf({ person, kind }: StageDevice): string {
  return `${person.id} ${kind}`;
}
