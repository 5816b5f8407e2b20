import type { Engine, Policy } from "../../mod.ts";
import { Device, phoneOf } from "./device.ts";
import type { Person } from "./people.ts";
import type { Plan } from "./plan.ts";
import type { Watch } from "./watched.ts";

/** One way in which one person's load, or one service's silence, may fall on others. */
export interface Nuisance {
  what: string;
  /** How much longer the disk takes for each commit. */
  commitMs?: number;
  policy?: (plan: Plan) => Partial<Policy>;
  people: (plan: Plan) => Person[];
  /** Before anything is measured: who is there then. */
  come?: (engine: Engine) => Promise<unknown>;
  /** @returns what ends it */
  begin(stage: { engine: Engine; plan: Plan; watch: Watch }): () => void;
}

const MANY = "somebody";

/** By the numbers under which these cases are known. */
export const NUISANCES: Readonly<Record<string, Nuisance>> = {
  C10: {
    what: "an account gets 6,000 messages of low urgency a minute, 400 wait and leave together; commits take 5 ms more",
    commitMs: 5,
    policy: ({ neighbours: { coalesceMs } }) => ({ coalesceMs }),
    people: () => [{ userId: MANY }],
    begin({ engine }) {
      // Of one channel 20 wait with rows of their own.
      const channels = Array.from({ length: 20 }, (_, index) => ({ to: MANY, channel: `channel ${index}` }));
      let published = 0;
      const publish = (): void => {
        const channel = channels[published++ % channels.length]!;
        void engine.publish({ ...channel, content: "later", urgency: "low" }).catch(gone);
      };
      void Promise.all(channels.map((channel) => engine.subscribe(MANY, channel))).then(() => {
        for (let waiting = 0; waiting < 400; waiting++) publish();
      });
      return every(10, publish);
    },
  },
  C11: {
    what: "a device says hello 300 times, then every 3 ms",
    people: () => [],
    begin({ engine }) {
      const hello = (): void => void Device.signIn(engine, { userId: MANY }).catch(gone);
      for (let first = 0; first < 300; first++) hello();
      return every(3, hello);
    },
  },
  C12: {
    what: "a user with 200 away devices, 6 with a target, gets 20 messages a second",
    people: () => [{ userId: MANY, devices: Array.from({ length: 200 }, (_, index) => `device ${index}`), reachable: 6 }],
    begin: ({ engine }) => every(50, () => void engine.publish({ to: MANY, content: "hi" }).catch(gone)),
  },
  C13: {
    what: "another provider never answers, and many pushes of it are due",
    people: ({ neighbours: { unanswered } }) =>
      Array.from({ length: unanswered }, (_, index) => ({ userId: `${MANY} ${index}`, provider: "silent" })),
    begin({ engine, plan: { neighbours: { unanswered } } }) {
      for (let index = 0; index < unanswered; index++) {
        void engine.publish({ to: `${MANY} ${index}`, content: "hi" }).catch(gone);
      }
      return () => {};
    },
  },
  C14: {
    what: "40 messages at once, again and again, for a user whose record takes 300 ms to read or write",
    people: () => [{ userId: MANY, devices: [phoneOf(MANY), `tablet of ${MANY}`] }],
    come: (engine) => Device.signIn(engine, { userId: MANY, visible: false }),
    begin({ engine, watch }) {
      watch.delayOf = (userId) => userId === MANY ? 300 : 0;
      return every(500, () => {
        for (let nth = 0; nth < 40; nth++) void engine.publish({ to: MANY, content: "hi" }).catch(gone);
      });
    },
  },
  C45: {
    what: "a backgrounded device in a room with 100 messages a second; commits take 20 ms more",
    commitMs: 20,
    people: () => [{ userId: MANY, channels: ["room"] }],
    come: (engine) => Device.signIn(engine, { userId: MANY, visible: false }),
    begin: ({ engine }) => every(10, () => void engine.publish({ to: "*", channel: "room", content: "hi" }).catch(gone)),
  },
  devices: {
    what: "device after device of one account signs in and leaves",
    people: () => [],
    begin({ engine, plan: { neighbours: { busyMs, flood } } }) {
      let next = 0;
      return every(busyMs / flood, () => {
        if (next >= flood) return;
        Device.signIn(engine, { userId: MANY, deviceId: `device ${next++}` }).then((device) => device.leave()).catch(gone);
      });
    },
  },
};

/** On average: a timer that comes late makes up for it, and so does one for less than a millisecond. */
function every(ms: number, task: () => void): () => void {
  const started = performance.now();
  let done = 0;
  const timer = setInterval(() => {
    for (; done < (performance.now() - started) / ms; done++) task();
  }, Math.max(1, ms));
  return () => clearInterval(timer);
}

/** Who asks for too much may be turned away, and an engine may be gone. */
function gone(): void {}
