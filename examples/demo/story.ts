/** What the server tells its pages, and what it remembers for a page that comes later. */

import type { Explanation, Note, Position } from "peyk";

/** A device as the page knows it. The engine itself only ever shows a hash of a deviceId. */
export interface DeviceTag {
  readonly userId: string;
  /** The hash. */
  readonly device: string;
  /** The name that the device's socket came under: which card of which page it is. Undefined: not seen since the server started. */
  readonly line: string | undefined;
}

/** One thing that happened to a message at one device, from an engine event. */
export interface StoryLine extends DeviceTag {
  /** The message's. */
  readonly id: string;
  /** "counted": so many devices (`detail`) are done with a public message; the engine does not list them. */
  readonly kind: Note["kind"] | "counted";
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly detail: string | undefined;
}

/** The engine's explanation, with the names of the devices. */
export interface NamedExplanation extends Explanation {
  readonly devices: readonly (Explanation["devices"][number] & DeviceTag)[];
}

/** A message and what became of it so far. */
export interface Story {
  readonly id: string;
  /** These two name it to the engine: an id is its sender's and topic's own. */
  readonly topic: string;
  readonly position: Position;
  readonly to: string;
  readonly channel: string;
  readonly from: string | undefined;
  /** Undefined for a message that did not come through the page's own form. */
  readonly content: string | undefined;
  readonly sentAt: number;
  readonly lines: readonly StoryLine[];
}

/** A session's state. */
export interface SessionNews extends DeviceTag {
  readonly state: string;
}

/** A push that came in from the engine's webhook provider. */
export interface PushNews {
  readonly line: string;
  readonly id: string;
  readonly title: string;
  readonly body: string;
  readonly waiting: number;
}

/** The server-sent events, by name. */
export interface DemoEvents {
  hello: { readonly stories: readonly Story[]; readonly sessions: readonly SessionNews[] };
  message: Story;
  line: StoryLine;
  session: SessionNews;
  push: PushNews;
}
