import type { DemoEvents, NamedExplanation, Story } from "../story.ts";

/** What the page asks of the demo server. */

/** A message as the form sends it. */
export interface Draft {
  readonly to: string;
  readonly channel?: string;
  readonly content: string;
  readonly urgency?: "low" | "normal";
}

/** Publishes. Answers with the message's id. */
export async function send(draft: Draft): Promise<string> {
  const { id } = await request("/api/messages", draft) as { id: string };
  return id;
}

/** Cuts the open sockets of a device without a goodbye, as a tunnel does. */
export async function cut(line: string): Promise<void> {
  await request("/api/cut", { line });
}

/** What the engine says about a message. */
export async function explain({ topic, position }: Story): Promise<NamedExplanation> {
  const fields = new URLSearchParams({ topic, epoch: String(position.epoch), offset: String(position.offset) });
  return await request(`/api/explanation?${fields}`) as NamedExplanation;
}

/** Calls back for each server-sent event, and comes back by itself when the server does. */
export function listen(handlers: { [Name in keyof DemoEvents]: (event: DemoEvents[Name]) => void }, lost: () => void): void {
  const source = new EventSource("/api/events");
  source.onerror = lost;
  for (const [name, handle] of Object.entries(handlers) as [string, (event: unknown) => void][]) {
    source.addEventListener(name, ({ data }) => handle(JSON.parse(data)));
  }
}

async function request(path: string, body?: unknown): Promise<unknown> {
  const response = await fetch(
    path,
    body === undefined ? {} : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) },
  );
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error?.hint ?? answer.error?.message ?? `The server said ${response.status}.`);
  return answer;
}
