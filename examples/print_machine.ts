/**
 * Prints the session machine as a Mermaid diagram, read from the machine itself. `npm run machine`
 *
 * A line is `event [condition] / what is to be done`. What happens without leaving a state stands in its box. What can
 * happen in every state is drawn from each of the outermost ones.
 */
import type { AnyStateNode } from "xstate";
import { sessionMachine } from "../src/session/machine.ts";

interface Line {
  readonly target: AnyStateNode | undefined;
  readonly event: string;
  /** Condition and actions, with the blanks that set them off. */
  readonly rest: string;
}

/** A state's own transitions, in the order in which they are written down. */
function linesOf(node: AnyStateNode): Line[] {
  return [...node.transitions.values()].flat().map(({ eventType, target, guard, actions }) => {
    const timed = node.after.find((after) => after.eventType === eventType);
    const condition = guard === undefined ? "" : ` [${guard}]`;
    const names = actions.length === 0 ? "" : ` / ${actions.join(", ")}`;
    return { target: target?.[0], event: timed === undefined ? eventType : `after ${timed.delay}`, rest: condition + names };
  });
}

/** `a / x`, `b / x`, `c / y` become `a, b / x` and `c / y`. */
function merged(lines: readonly Line[]): string[] {
  const events = Map.groupBy(lines, ({ rest }) => rest);
  return [...events].map(([rest, alike]) => alike.map(({ event }) => event).join(", ") + rest);
}

function arrows(from: AnyStateNode, lines: readonly Line[], indent: string): string[] {
  const targets = Map.groupBy(lines, ({ target }) => target);
  targets.delete(undefined);
  return [...targets].map(([to, alike]) => `${indent}${from.key} --> ${to!.key} : ${merged(alike).join("<br>")}`);
}

const staying = (node: AnyStateNode): Line[] => linesOf(node).filter(({ target }) => target === undefined);

/** What is done on the way in and out; XState's own, such as setting the timer of an `after`, aside. */
function passing(node: AnyStateNode): string[] {
  const ways = Object.entries({ entry: node.entry, exit: node.exit });
  return ways.flatMap(([way, actions]) =>
    actions.filter((action) => typeof action === "string").map((name) => `${way} / ${name}`)
  );
}

/** A state with what is inside it, then the arrows that leave it. `around`: what its surroundings do without leaving. */
function stateLines(node: AnyStateNode, around: readonly Line[], indent: string): string[] {
  const { key } = node;
  const inside: AnyStateNode[] = Object.values(node.states);
  const stays = [...staying(node), ...around];
  const everywhere = node.parent === root && node.type !== "final" ? linesOf(root) : [];
  const leaving = arrows(node, [...linesOf(node), ...everywhere], indent);
  if (inside.length === 0) {
    const box = [key, ...passing(node), ...merged(stays)].map((line) => `${indent}${key}: ${line}`);
    return [...box, ...leaving, ...(node.type === "final" ? [`${indent}${key} --> [*]`] : [])];
  }
  return [
    `${indent}state ${key} {`,
    // A box around others has no room for text.
    ...passing(node).map((line) => `${indent}  %% ${line}`),
    `${indent}  [*] --> ${node.initial.target[0]!.key}`,
    ...inside.flatMap((child) => stateLines(child, stays, `${indent}  `)),
    `${indent}}`,
    ...leaving,
  ];
}

const root: AnyStateNode = sessionMachine.root;
console.log([
  "stateDiagram-v2",
  ...merged(staying(root)).map((line) => `  %% in every state: ${line}`),
  `  [*] --> ${root.initial.target[0]!.key}`,
  ...Object.values(root.states).flatMap((node) => stateLines(node, [], "  ")),
].join("\n"));
