import { assign, setup } from "xstate";

/**
 * A session's behaviour: what one user on one device is at the moment, and what becomes of a message because of that.
 * The only place where it is written down. Nothing here but xstate is imported, so the whole file can be pasted into
 * Stately's editor.
 *
 * It does nothing by itself: `step.ts` asks it what to do and hands out the names of its actions.
 * Actions and guards take no params and look at no event, since their answer is remembered and replayed.
 */
export const sessionMachine = setup({
  types: {
    input: {} as { graceMs: number; drainWindowMs: number },
    context: {} as {
      /** There is somewhere to push to. */
      hasTarget: boolean;
      /** Why the socket is gone, which says how soon it may be back. "lost" unless recent. */
      going: "lost" | "left" | "drained";
      graceMs: number;
      drainWindowMs: number;
    },
    events: {} as {
      type:
        // a connection comes; when there is one already, the new one replaces it
        | "attach.visible"
        | "attach.background"
        // what the client says of itself
        | "foreground"
        | "background"
        // the first push target was registered, the last one was lost
        | "target.some"
        | "target.none"
        // the oldest unseen send passed the ack timeout; nothing is overdue any more
        | "overdue"
        | "seen"
        // the connection goes: in order, with a page that is left or reloaded, without a word, because the node drains, to a newer one
        // on another node or another user's
        | "closed.clean"
        | "closed.left"
        | "closed.lost"
        | "drained"
        | "replaced"
        // the node that held the session died, or this one was restarted
        | "orphaned"
        | "signOut"
        // a message, by class: urgency normal or high; low or very-low; in-app; ephemeral
        | "message.alert"
        | "message.quiet"
        | "message.inApp"
        | "message.ephemeral";
    },
  },
  delays: {
    /**
     * How long a session without a socket may take to come back. A page's next one is there soon. After a drain, the window over
     * which clients return comes first.
     */
    grace: ({ context: { going, graceMs, drainWindowMs } }) =>
      going === "left" ? Math.min(graceMs, 5_000) : graceMs + (going === "drained" ? drainWindowMs : 0),
  },
  guards: {
    hasTarget: ({ context }) => context.hasTarget,
  },
  actions: {
    // The route of a message. No `deliver`: nothing goes to the socket. No push action: none is wanted.
    deliver() {},
    pushNow() {},
    pushIfUnseen() {},
    pushWhenAway() {},
    pushCoalesced() {},
    /** A push is wanted and there is no target. */
    nowhereToPush() {},
    // Effects.
    /** Push what is overdue and was held back until then. */
    pushOverdue() {},
    /** Write down that the session is away, then decide about everything that is still undecided. */
    decideRest() {},
    /** Drop the session's pending pushes and targets. */
    release() {},
    // Facets.
    gainTarget: assign({ hasTarget: true }),
    loseTarget: assign({ hasTarget: false }),
    pageLeft: assign({ going: "left" }),
    nodeDrains: assign({ going: "drained" }),
    forgetGoing: assign({ going: "lost" }),
  },
}).createMachine({
  id: "session",
  context: ({ input }) => ({ hasTarget: false, going: "lost", ...input }),
  initial: "disconnected",
  on: {
    "attach.visible": ".connected",
    "attach.background": ".backgrounded",
    "target.some": { actions: "gainTarget" },
    "target.none": { actions: "loseTarget" },
    signOut: ".signedOut",
  },
  states: {
    connected: {
      initial: "live",
      on: {
        background: "backgrounded",
        "closed.clean": { target: "disconnected.away", actions: "decideRest" },
        "closed.left": { target: "disconnected.recent", actions: "pageLeft" },
        "closed.lost": "disconnected.recent",
        drained: { target: "disconnected.recent", actions: "nodeDrains" },
        // Whoever took the session decides the rest.
        replaced: "disconnected.away",
        "message.quiet": { actions: "deliver" },
        "message.inApp": { actions: "deliver" },
        "message.ephemeral": { actions: "deliver" },
      },
      states: {
        /** What is sent is seen in time. */
        live: {
          on: {
            overdue: { target: "suspect", actions: "pushOverdue" },
            "message.alert": [
              { guard: "hasTarget", actions: ["deliver", "pushIfUnseen"] },
              { actions: ["deliver", "nowhereToPush"] },
            ],
          },
        },
        /** Something is overdue: the socket may be dead though open. */
        suspect: {
          on: {
            overdue: { actions: "pushOverdue" },
            seen: "live",
            "message.alert": [
              { guard: "hasTarget", actions: ["deliver", "pushNow"] },
              { actions: ["deliver", "nowhereToPush"] },
            ],
          },
        },
      },
    },
    /** The socket is open, the person is not looking. */
    backgrounded: {
      on: {
        foreground: "connected",
        // What was sent just before it went to the background may still wait to be seen.
        overdue: { actions: "pushOverdue" },
        "closed.clean": { target: "disconnected.away", actions: "decideRest" },
        // Hidden as the page was left: of one that was hidden for longer the engine says "closed.clean".
        "closed.left": { target: "disconnected.recent", actions: "pageLeft" },
        // Systems cut background sockets at will: nobody is about to come back.
        "closed.lost": { target: "disconnected.away", actions: "decideRest" },
        drained: { target: "disconnected.recent", actions: "nodeDrains" },
        replaced: "disconnected.away",
        "message.alert": [
          { guard: "hasTarget", actions: ["deliver", "pushNow"] },
          { actions: ["deliver", "nowhereToPush"] },
        ],
        "message.quiet": [
          { guard: "hasTarget", actions: ["deliver", "pushCoalesced"] },
          { actions: ["deliver", "nowhereToPush"] },
        ],
        "message.inApp": { actions: "deliver" },
        "message.ephemeral": { actions: "deliver" },
      },
    },
    disconnected: {
      initial: "away",
      states: {
        /** The socket was lost moments ago: hold, it may come back. */
        recent: {
          exit: "forgetGoing",
          after: {
            grace: { target: "away", actions: "decideRest" },
          },
          on: {
            replaced: "away",
            "message.alert": [{ guard: "hasTarget", actions: "pushWhenAway" }, { actions: "nowhereToPush" }],
            "message.quiet": [{ guard: "hasTarget", actions: "pushWhenAway" }, { actions: "nowhereToPush" }],
          },
        },
        /** Nobody there. */
        away: {
          on: {
            orphaned: "recent",
            "message.alert": [{ guard: "hasTarget", actions: "pushNow" }, { actions: "nowhereToPush" }],
            "message.quiet": [{ guard: "hasTarget", actions: "pushCoalesced" }, { actions: "nowhereToPush" }],
          },
        },
      },
    },
    signedOut: {
      type: "final",
      entry: "release",
    },
  },
});
