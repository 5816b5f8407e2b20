/** A small drawing of the session machine, with the current state lit. */

interface DrawnState {
  readonly state: string;
  readonly label: string;
  readonly x: number;
  readonly y: number;
  readonly width: number;
}

const HEIGHT = 20;

const nodes: readonly DrawnState[] = [
  { state: "connected.live", label: "live", x: 9, y: 19, width: 44 },
  { state: "connected.suspect", label: "suspect", x: 70, y: 19, width: 54 },
  { state: "backgrounded", label: "backgrounded", x: 145, y: 19, width: 77 },
  { state: "disconnected.recent", label: "recent", x: 10, y: 82, width: 54 },
  { state: "disconnected.away", label: "away", x: 150, y: 82, width: 62 },
];

/** The boxes around states that belong together. */
const groups = [
  { label: "connected", x: 2, y: 2, width: 129, height: 44, labelX: 11 },
  { label: "disconnected", x: 2, y: 66, width: 220, height: 43, labelX: 66 },
];

/** The ways between states, as a person draws them. The first name is where an arrow starts, the second where it points. */
const ways: readonly { readonly of: readonly string[]; readonly path: string }[] = [
  { of: ["connected.live>connected.suspect"], path: "M54 26h13" },
  { of: ["connected.suspect>connected.live"], path: "M69 33h-13" },
  { of: ["connected.live>backgrounded", "connected.suspect>backgrounded"], path: "M132 26h10" },
  { of: ["backgrounded>connected.live", "backgrounded>connected.suspect"], path: "M144 33h-10" },
  { of: ["connected.live>disconnected.recent", "connected.suspect>disconnected.recent"], path: "M28 47v32" },
  { of: ["disconnected.recent>connected.live", "disconnected.recent>connected.suspect"], path: "M46 81v-32" },
  { of: ["disconnected.recent>disconnected.away"], path: "M65 92h82" },
  { of: ["backgrounded>disconnected.away"], path: "M190 40v39" },
  { of: ["disconnected.away>backgrounded"], path: "M204 81v-39" },
  { of: ["connected.live>disconnected.away", "connected.suspect>disconnected.away"], path: "M86 47L154 80" },
  { of: ["disconnected.away>connected.live", "disconnected.away>connected.suspect"], path: "M168 81L103 49" },
];

/** What the page moves. */
export interface MachineDrawing {
  readonly element: SVGElement;
  /** Lights a state; the way from the one before flashes. */
  show(state: string): void;
}

/** @param graceMs how long a session stays recent: its state fills up meanwhile */
export function drawMachine(graceMs: number): MachineDrawing {
  const element = svg("svg", { viewBox: "0 0 224 112", role: "img", "aria-label": "Session machine" });
  for (const { label, labelX, ...box } of groups) {
    const group = svg("g", { class: "group", "data-group": label });
    group.append(svg("rect", { ...box, rx: 10 }), text(label, labelX, box.y + 11));
    element.append(group);
  }
  const drawnWays = ways.map(({ of, path }) => {
    const way = svg("path", { d: path, class: "way", "marker-end": "url(#tip)" });
    element.append(way);
    return { of, way };
  });
  const drawnNodes = nodes.map(({ state, label, x, y, width }) => {
    const node = svg("g", { class: "node", "data-node": state });
    node.append(svg("rect", { x, y, width, height: HEIGHT, rx: HEIGHT / 2 }));
    if (state === "disconnected.recent") {
      const bar = svg("rect", { x: x + 10, y: y + HEIGHT - 4, width: width - 20, height: 1.5, rx: 0.75, class: "grace" });
      bar.style.animationDuration = `${graceMs}ms`;
      node.append(bar);
    }
    node.append(text(label, x + width / 2, y + 13.5));
    element.append(node);
    return { state, node };
  });

  let shown = "";
  return {
    element,
    show(state: string): void {
      if (state === shown) return;
      for (const drawn of drawnNodes) drawn.node.classList.toggle("lit", drawn.state === state);
      const group = state.split(".")[0] ?? "";
      for (const drawn of element.querySelectorAll<SVGElement>(".group")) {
        drawn.classList.toggle("lit", drawn.dataset.group === group);
      }
      const way = drawnWays.find(({ of }) => of.includes(`${shown}>${state}`))?.way;
      way?.animate({ stroke: ["var(--state)", "var(--state)", "var(--line-strong)"], strokeWidth: [2.5, 2.5, 1.2] }, 1_400);
      element.setAttribute("aria-label", `Session machine: ${state}`);
      shown = state;
    },
  };
}

function svg(tag: string, attributes: Record<string, string | number>): SVGElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}

function text(content: string, x: number, y: number): SVGElement {
  const element = svg("text", { x, y });
  element.textContent = content;
  return element;
}
