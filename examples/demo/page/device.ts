import { connect, type Message, type PeykClient } from "peyk/client";
import type { DeviceKind, Person } from "../people.ts";
import { policy } from "../people.ts";
import type { PushNews } from "../story.ts";
import { clone, part } from "./dom.ts";
import { drawMachine } from "./machine_drawing.ts";
import { createNetwork } from "./network.ts";
import { clock } from "./words.ts";

/** How a device can stand. */
export type Switch = "open" | "left" | "background" | "closed" | "frozen" | "airplane";

const switches: Record<Switch, { readonly label: string; meaning(person: Person): string }> = {
  open: { label: "Open", meaning: ({ name }) => `${name} is at it.` },
  left: { label: "Left", meaning: ({ name }) => `In front, but ${name} has gone.` },
  background: { label: "Background", meaning: () => "Nobody is looking." },
  closed: { label: "Closed", meaning: () => "The app said goodbye." },
  frozen: { label: "Frozen", meaning: () => "Socket open, nothing read." },
  airplane: { label: "Airplane", meaning: () => "Lost without a goodbye." },
};

/** The states that a session comes to be in. */
const expected: Record<Switch, readonly string[]> = {
  open: ["connected.live", "connected.suspect"],
  left: ["connected.live", "connected.suspect"],
  background: ["backgrounded"],
  closed: ["disconnected.away"],
  frozen: ["connected.live", "connected.suspect"],
  airplane: ["disconnected.recent", "disconnected.away"],
};

const PUSHES_SHOWN = 3;
const INBOX_KEPT = 30;
/** How often a person at a device touches it. Less than `policy.inputMs`: what comes meanwhile is dealt with. */
const TOUCH_EVERY_MS = 1_500;
/** What comes this long after the last touch nobody has dealt with. */
const LEAVE_MS = policy.inputMs + 500;

/** One device on the stage: a client of its own, on a network of its own. */
export interface StageDevice {
  readonly person: Person;
  readonly kind: DeviceKind;
  /** Names the device to the server: its socket's URL carries it, and its push target is it. */
  readonly line: string;
  readonly element: HTMLElement;
  /** Resolves when the engine has noticed. */
  switchTo(next: Switch): Promise<void>;
  /** The state of its session, as the engine says. */
  show(state: string): void;
  /** A push arrives. */
  land(push: PushNews): void;
}

/** @param cut has the server cut the device's sockets without a goodbye */
export function createDevice(person: Person, kind: DeviceKind, line: string, cut: (line: string) => Promise<void>): StageDevice {
  const element = clone("device-template");
  const drawing = drawMachine(policy.graceMs);
  const network = createNetwork();
  const inbox = createInbox(part(element, ".app ol"), `demo:inbox:${line}`);
  const buttons = new Map<Switch, HTMLButtonElement>();
  let client: PeykClient | undefined;
  let current: Switch = "open";
  let state = "";
  /** Ends a wait: the state or the switch is another. */
  let changed = Promise.withResolvers<void>();
  let turning = Promise.resolve();

  element.dataset.kind = kind;
  element.dataset.line = line;
  part(element, ".kind").textContent = kind;
  part(element, ".machine").append(drawing.element);
  part(element, ".bar time").textContent = clock(Date.now());
  for (const [name, { label }] of Object.entries(switches) as [Switch, { label: string }][]) {
    const button = document.createElement("button");
    button.type = "button";
    button.title = button.ariaLabel = label;
    button.innerHTML = icon(name);
    button.onclick = () => void switchTo(name);
    buttons.set(name, button);
    part(element, ".switches").append(button);
  }

  setInterval(() => current === "open" && present(), TOUCH_EVERY_MS);

  function join(): void {
    const url = `${location.origin.replace("http", "ws")}/peyk?line=${encodeURIComponent(line)}`;
    client = connect(url, { token: person.id, WebSocket: network.WebSocket });
    present();
    client.onMessage(inbox.add);
    // Rejected when the app is closed before the engine has answered; the next life registers again.
    client.registerPush({ provider: "webhook", token: line }).catch(() => {});
  }

  /** A touch, or the app goes to the back. The page's own visibility and input say nothing about each of its devices. */
  function present(): void {
    const inFront = current !== "background";
    client?.setActivity({ visible: inFront, attended: inFront });
  }

  /** One after the other; a newer wish ends the wait of the one before. */
  function switchTo(next: Switch): Promise<void> {
    if (next !== current) {
      current = next;
      mark();
      changed.resolve();
      turning = turning.then(() => turn(next));
    }
    return turning;
  }

  async function turn(next: Switch): Promise<void> {
    if (current !== next) return;
    network.turn("up");
    if (next === "closed") {
      await client?.close();
      client = undefined;
    } else {
      if (client === undefined) join();
      else present();
      // A browser says so itself when its network is back; this one's is only a play.
      dispatchEvent(new Event("online"));
      if (next === "frozen" || next === "airplane") await until(expected.open, next);
      if (next === "left") await quiet();
      if (current !== next) return;
      if (next === "frozen") network.turn("frozen");
      if (next === "airplane") {
        network.turn("gone");
        await cut(line);
      }
    }
    await until(expected[next], next);
  }

  async function until(states: readonly string[], mine: Switch): Promise<void> {
    while (!states.includes(state) && current === mine) {
      changed = Promise.withResolvers();
      await changed.promise;
    }
  }

  /** Until the last touch is so long ago that what comes is not dealt with. */
  async function quiet(): Promise<void> {
    const end = performance.now() + LEAVE_MS;
    while (current === "left" && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 100));
  }

  function mark(): void {
    element.dataset.switch = current;
    for (const [name, button] of buttons) button.setAttribute("aria-pressed", String(name === current));
    const { label, meaning } = switches[current];
    part(element, ".meaning").innerHTML = `<b>${label}.</b> ${meaning(person)}`;
    part(element, ".signal").innerHTML = icon(current);
  }

  mark();
  join();
  return {
    person,
    kind,
    line,
    element,
    switchTo,
    show(next) {
      state = next;
      changed.resolve();
      element.dataset.state = state;
      part(element, ".state").textContent = state.replace("disconnected.", "").replace(".", ", ");
      drawing.show(state);
    },
    land(push) {
      const tray = part(element, ".tray ol");
      tray.prepend(pushCard(push, () => void switchTo("open")));
      while (tray.children.length > PUSHES_SHOWN) tray.lastElementChild?.remove();
    },
  };
}

/** What the app shows. Kept over a reload, as an app would; that nothing comes twice is the client's doing, not this list's. */
function createInbox(list: HTMLElement, key: string): { add(message: Message): void } {
  type Kept = Pick<Message, "id" | "content" | "channel" | "sentAt"> & { readonly to: string };
  const kept: Kept[] = JSON.parse(localStorage.getItem(key) ?? "[]");
  const show = ({ id, content, to, channel, sentAt }: Kept): void => {
    const bubble = document.createElement("li");
    bubble.className = "bubble";
    bubble.dataset.id = id;
    bubble.dataset.public = String(to === "*");
    const when = document.createElement("small");
    when.textContent = to === "*" ? `${channel}, ${clock(sentAt)}` : clock(sentAt);
    bubble.append(content ?? "", when);
    list.prepend(bubble);
  };
  kept.forEach(show);
  return {
    add({ id, content, to, channel, sentAt }) {
      const message = { id, content, to, channel, sentAt };
      kept.push(message);
      if (kept.length > INBOX_KEPT) kept.shift();
      localStorage.setItem(key, JSON.stringify(kept));
      show(message);
      while (list.children.length > INBOX_KEPT) list.lastElementChild?.remove();
    },
  };
}

function pushCard({ id, title, body, waiting }: PushNews, open: () => void): HTMLElement {
  const item = document.createElement("li");
  item.innerHTML =
    `<button type="button" class="push"><header><img src="/icon.svg" alt="">Peyk<time></time></header><b></b><span></span><i></i></button>`;
  const card = part(item, ".push");
  card.dataset.id = id;
  card.title = "Tap to open the app";
  card.onclick = () => {
    item.remove();
    open();
  };
  part(card, "time").textContent = clock(Date.now());
  part(card, "b").textContent = title;
  part(card, "span").textContent = body;
  if (waiting > 1) part(card, "i").textContent = `stands for ${waiting} messages`;
  return item;
}

function icon(name: Switch): string {
  return `<svg viewBox="0 0 20 20" aria-hidden="true"><use href="#icon-${name}" /></svg>`;
}
