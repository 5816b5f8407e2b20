import type { ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { deviceName, type Engine, type EntryName, type Note, type ReceiptEvent } from "peyk";
import { people } from "./people.ts";
import type { DemoEvents, DeviceTag, SessionNews, Story, StoryLine } from "./story.ts";

const STORIES_KEPT = 40;

/** What the server knows of the play, and tells the pages as it happens. */
export class Stage {
  readonly #pages = new Set<ServerResponse>();
  /** By hash. What the engine told last. */
  readonly #sessions = new Map<string, SessionNews>();
  readonly #lines = new Map<string, string>();
  readonly #sockets = new Map<string, Set<Duplex>>();
  readonly #announced = new Map<string, { content: string; at: number }>();
  readonly #stories = new Map<string, Story & { lines: StoryLine[] }>();

  /** Passes the engine's events on to the pages. */
  watch(engine: Engine): void {
    engine.on("session", ({ userId, device, state }) => {
      const session = { ...this.tag({ userId, device }), state };
      this.#sessions.set(device, session);
      this.#tell("session", session);
    });
    engine.on("note", (note) => this.#note(note));
    engine.on("receipt", (receipt) => this.#receipt(receipt));
  }

  /** A device signed in: from now on its hash has a name. */
  signedIn(deviceId: string, line: string): void {
    this.#lines.set(deviceName(deviceId), line);
  }

  tag({ userId, device }: Pick<DeviceTag, "userId" | "device">): DeviceTag {
    return { userId, device, line: this.#lines.get(device) };
  }

  /** What is about to be published. The engine's events name messages by id only. */
  announce(id: string, content: string): void {
    this.#announced.set(id, { content, at: Date.now() });
    if (this.#announced.size > STORIES_KEPT) dropOldest(this.#announced);
  }

  socketOpened(line: string, socket: Duplex): void {
    const sockets = this.#sockets.get(line) ?? new Set();
    this.#sockets.set(line, sockets.add(socket));
    socket.once("close", () => {
      sockets.delete(socket);
      if (sockets.size === 0) this.#sockets.delete(line);
    });
  }

  /** Cuts a device's sockets without a goodbye. Says how many there were. */
  cut(line: string): number {
    const sockets = [...this.#sockets.get(line) ?? []];
    for (const socket of sockets) socket.destroy();
    return sockets.length;
  }

  /** A push came in for that device. */
  pushed(push: DemoEvents["push"]): void {
    this.#tell("push", push);
  }

  /** A page wants to hear of everything, beginning with how things stand. */
  async addPage(page: ServerResponse, engine: Engine): Promise<void> {
    const known = (await Promise.all(people.map(({ id }) => engine.sessions(id)))).flat();
    if (page.destroyed) return;
    // What was told meanwhile is newer than what was asked.
    const sessions = known.map(({ userId, device, state }) =>
      this.#sessions.get(device) ?? { ...this.tag({ userId, device }), state }
    );
    page.once("close", () => this.#pages.delete(page));
    page.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    page.write(frame("hello", { stories: [...this.#stories.values()], sessions }));
    this.#pages.add(page);
  }

  close(): void {
    for (const page of this.#pages) page.end();
  }

  #note(note: Note): void {
    const { id, userId, device, kind, at, detail } = note;
    this.#add(this.#story(note, undefined), { id, ...this.tag({ userId, device }), kind, at, detail });
  }

  /** Of public messages the engine tells how many devices are done; of private ones each, as a note. */
  #receipt(receipt: ReceiptEvent): void {
    const { kind, id, from, userId, count, at } = receipt;
    const story = this.#story(receipt, from);
    if (kind !== "delivered" || userId !== undefined) return;
    const before = Number(story.lines.findLast((line) => line.kind === "counted")?.detail ?? 0);
    this.#add(story, { id, userId: "*", device: "*", line: undefined, kind: "counted", at, detail: String(before + count) });
  }

  #add(story: Story & { lines: StoryLine[] }, line: StoryLine): void {
    story.lines.push(line);
    this.#tell("line", line);
  }

  #story({ id, topic, position }: EntryName, from: string | undefined): Story & { lines: StoryLine[] } {
    let story = this.#stories.get(id);
    if (story === undefined) {
      const [to = "", channel = ""] = topic.split("/");
      const { content, at = Date.now() } = this.#announced.get(id) ?? {};
      story = { id, topic, position, to, channel, from, content, sentAt: at, lines: [] };
      this.#stories.set(id, story);
      if (this.#stories.size > STORIES_KEPT) dropOldest(this.#stories);
      this.#tell("message", story);
    }
    return story;
  }

  #tell<Name extends keyof DemoEvents>(name: Name, event: DemoEvents[Name]): void {
    for (const page of this.#pages) page.write(frame(name, event));
  }
}

function frame(name: string, event: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(event)}\n\n`;
}

function dropOldest(map: Map<string, unknown>): void {
  for (const key of map.keys()) return void map.delete(key);
}
