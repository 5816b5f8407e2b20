/** Who plays in the demo: shared by the server and the page. */

/** What a device looks like, and what people call it. */
export type DeviceKind = "laptop" | "phone" | "tablet";

export interface Person {
  readonly id: string;
  readonly name: string;
  /** "she" or "he", for sentences. */
  readonly subject: string;
  /** "her" or "his". */
  readonly possessive: string;
  readonly devices: readonly DeviceKind[];
}

export const people: readonly Person[] = [
  { id: "sara", name: "Sara", subject: "she", possessive: "her", devices: ["laptop", "phone"] },
  { id: "reza", name: "Reza", subject: "he", possessive: "his", devices: ["phone"] },
  { id: "mina", name: "Mina", subject: "she", possessive: "her", devices: ["tablet"] },
];

/** The public channel that everybody is subscribed to. */
export const NEWS = "news";

/** The engine's policy here: its defaults, but shorter where they are longer than a visitor likes to wait. */
export const policy = {
  ackTimeoutMs: 3_000,
  graceMs: 15_000,
  activeElsewhereMs: 5_000,
  /** 30 s by default. */
  inputMs: 3_000,
  /** 2 minutes by default. */
  leftMs: 12_000,
  /** A minute by default. */
  coalesceMs: 10_000,
} as const;

/** The person with that userId. */
export function personOf(userId: string): Person | undefined {
  return people.find((person) => person.id === userId);
}
