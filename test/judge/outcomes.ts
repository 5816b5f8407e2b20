/**
 * What a person's phone does about a message that came to phone and laptop, by where the phone is, what happens at the laptop, and
 * when. Data: `outcomes.test.ts` plays every cell on the engine, docs/outcomes.md is made of it.
 */

/** Where the phone is as the message comes. */
export const PHONES = {
  live: "The app on your phone is in front, and shows it",
  unseen: "The app on your phone is in front, but its connection has just died and nobody knows",
  suspect: "The app on your phone is in front, but what was sent to it before is overdue",
  backgrounded: "The app on your phone is open in the background",
  recent: "Your phone has just lost its connection",
  away: "The app on your phone is closed",
} as const;

/** What happens at the laptop. */
export const LAPTOPS = {
  acks: "you are at the laptop, which shows it",
  idles: "the laptop shows it, where you were last 45 s ago, and you do not come back",
  returns: "the laptop shows it, where you were last 45 s ago, and you touch it 10 s later",
  unattended: "a laptop that nobody ever touches shows it",
  background: "the app on the laptop takes it in the background",
  read: "you mark it as read at the laptop",
  dismissed: "you dismiss it at the laptop",
  fails: "you are at the laptop, whose app fails on it",
  later: "you sign in at a laptop that begins after the message, and read the next one there",
  nothing: "you are at the laptop, whose app never confirms it",
} as const;

/** What kind of push it is, and when the laptop acts. */
export const SCENES = {
  "due, at once": "as it comes",
  "due, in time": "just before your phone would ring",
  "due, too late": "when your phone is being rung already",
  "low, at once": "as it comes, and it is of low urgency",
  "low, in time": "half a minute later, and it is of low urgency",
  "low, too late": "when your phone is being told already, of a low urgency",
  "retry, in time": "after the push service said: not now",
  "restart, at once": "as it comes; then the server is restarted",
  "restart, in time": "after the server was restarted",
  "restart, too late": "after the server was restarted while your phone was being rung",
} as const;

export type Phone = keyof typeof PHONES;
export type Laptop = keyof typeof LAPTOPS;
export type Scene = keyof typeof SCENES;

/** What the phone does. */
export const OUTCOMES = {
  push: "your phone rings, once",
  none: "your phone stays silent",
  idle: "your phone rings when you have not touched the laptop for two minutes",
  left: "the push had left; if it comes a second time, it replaces the first",
  again: "the push service is asked a second time, for the same notification",
} as const;

export type Outcome = keyof typeof OUTCOMES;

/** Why a cell can't be. */
export const REASONS = {
  "-now": "the push leaves at once: there is no time before it",
  "-never": "no push leaves: the app on your phone is in front",
  "-moment": "nothing happens at the laptop, at any moment: see the tables of when the message comes",
  "-begin": "a laptop that begins after the message is not there as it comes",
  "-open": "either: the restart may forget that the laptop was waited for",
} as const;

export type Reason = keyof typeof REASONS;

/** A row per thing that happens at the laptop, a column per place of the phone, as PHONES lists them. */
const GRIDS: Readonly<Record<Scene, string>> = {
  "due, at once": `
    acks        none  none  none  none  none  none
    idles       none  idle  idle  idle  idle  idle
    returns     none  none  none  none  none  none
    unattended  none  push  push  push  push  push
    background  none  push  push  push  push  push
    read        none  none  none  none  none  none
    dismissed   none  none  none  none  none  none
    fails       none  push  push  push  push  push
    later       -begin -begin -begin -begin -begin -begin
    nothing     none  push  push  push  push  push`,
  "due, in time": `
    acks        none  none  none  none  none  none
    idles       none  idle  idle  idle  idle  idle
    returns     none  none  none  none  none  none
    unattended  none  push  -now  -now  push  -now
    background  none  push  -now  -now  push  -now
    read        none  none  none  none  none  none
    dismissed   none  none  none  none  none  none
    fails       none  push  push  push  push  push
    later       none  push  -now  -now  push  -now
    nothing     -moment -moment -moment -moment -moment -moment`,
  "due, too late": `
    acks        -never push  push  push  push  push
    idles       -never push  push  push  push  push
    returns     -never push  push  push  push  push
    unattended  -never push  push  push  push  push
    background  -never push  push  push  push  push
    read        -never push  push  push  push  push
    dismissed   -never push  push  push  push  push
    fails       -never push  push  push  push  push
    later       -never push  push  push  push  push
    nothing     -moment -moment -moment -moment -moment -moment`,
  "low, at once": `
    acks        none  none  none  none  none  none
    idles       none  none  none  idle  idle  idle
    returns     none  none  none  none  none  none
    unattended  none  none  none  push  push  push
    background  none  none  none  push  push  push
    read        none  none  none  none  none  none
    dismissed   none  none  none  none  none  none
    fails       none  none  none  push  push  push
    later       -begin -begin -begin -begin -begin -begin
    nothing     none  none  none  push  push  push`,
  "low, in time": `
    acks        none  none  none  none  none  none
    idles       none  none  none  idle  idle  idle
    returns     none  none  none  none  none  none
    unattended  none  none  none  push  push  push
    background  none  none  none  push  push  push
    read        none  none  none  none  none  none
    dismissed   none  none  none  none  none  none
    fails       none  none  none  push  push  push
    later       none  none  none  push  push  push
    nothing     -moment -moment -moment -moment -moment -moment`,
  "low, too late": `
    acks        -never -never -never push  push  push
    idles       -never -never -never push  push  push
    returns     -never -never -never push  push  push
    unattended  -never -never -never push  push  push
    background  -never -never -never push  push  push
    read        -never -never -never push  push  push
    dismissed   -never -never -never push  push  push
    fails       -never -never -never push  push  push
    later       -never -never -never push  push  push
    nothing     -moment -moment -moment -moment -moment -moment`,
  "retry, in time": `
    acks        -never none  none  none  none  none
    idles       -never idle  idle  idle  idle  idle
    returns     -never none  none  none  none  none
    unattended  -never push  push  push  push  push
    background  -never push  push  push  push  push
    read        -never none  none  none  none  none
    dismissed   -never none  none  none  none  none
    fails       -never push  push  push  push  push
    later       -never push  push  push  push  push
    nothing     -never push  push  push  push  push`,
  "restart, at once": `
    acks        none  none  none  none  none  none
    idles       none  -open -open -open -open -open
    returns     none  -open -open -open -open -open
    unattended  none  push  push  push  push  push
    background  none  push  push  push  push  push
    read        none  none  none  none  none  none
    dismissed   none  none  none  none  none  none
    fails       none  push  push  push  push  push
    later       -begin -begin -begin -begin -begin -begin
    nothing     none  push  push  push  push  push`,
  "restart, in time": `
    acks        none  none  none  none  none  none
    idles       none  idle  idle  idle  idle  idle
    returns     none  none  none  none  none  none
    unattended  none  push  -now  -now  push  -now
    background  none  push  -now  -now  push  -now
    read        none  none  none  none  none  none
    dismissed   none  none  none  none  none  none
    fails       none  push  push  push  push  push
    later       none  push  -now  -now  push  -now
    nothing     -moment -moment -moment -moment -moment -moment`,
  "restart, too late": `
    acks        -never left  left  left  left  left
    idles       -never again again again again again
    returns     -never left  left  left  left  left
    unattended  -never again again again again again
    background  -never again again again again again
    read        -never left  left  left  left  left
    dismissed   -never left  left  left  left  left
    fails       -never again again again again again
    later       -never again again again again again
    nothing     -moment -moment -moment -moment -moment -moment`,
};

/** One cell: where, what and when, and what comes of it, or why it can't be. */
export interface Cell {
  readonly scene: Scene;
  readonly laptop: Laptop;
  readonly phone: Phone;
  readonly expected: Outcome | Reason;
}

export const CELLS: readonly Cell[] = Object.entries(GRIDS).flatMap(([scene, grid]) =>
  grid.trim().split("\n").flatMap((row) => {
    const [laptop, ...expected] = row.trim().split(/\s+/);
    return Object.keys(PHONES).map((phone, index) => ({ scene, laptop, phone, expected: expected[index] }) as Cell);
  })
);

export function canBe(cell: Cell): cell is Cell & { expected: Outcome } {
  return !cell.expected.startsWith("-");
}

/** A cell in a person's words. */
export function sentenceOf({ expected, laptop, phone, scene }: Cell & { expected: Outcome }): string {
  return `${PHONES[phone]}; ${LAPTOPS[laptop]}, ${SCENES[scene]}: ${OUTCOMES[expected]}.`;
}

/** One's own message: who sends it where, and what becomes of it at the other devices. */
export interface Own {
  readonly sender: "phone" | "laptop";
  readonly to: "yourself" | "a room";
  /** What the other device does, wherever it is but in front. */
  readonly other: "push" | "none";
}

/** The sending device is never pushed. */
export const OWN: readonly Own[] = [
  { sender: "phone", to: "yourself", other: "push" },
  { sender: "laptop", to: "yourself", other: "push" },
  { sender: "phone", to: "a room", other: "none" },
  { sender: "laptop", to: "a room", other: "none" },
];

export function ownSentenceOf({ other, sender, to }: Own): string {
  const device = sender === "phone" ? "laptop" : "phone";
  return `You send a message to ${to} from your ${sender}: ${
    other === "push" ? `your ${device} is told, your ${sender} is not` : `none of your own devices is told`
  }.`;
}
