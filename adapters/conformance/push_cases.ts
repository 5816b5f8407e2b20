import { deepStrictEqual, match, notStrictEqual, strictEqual } from "node:assert/strict";
import type { PushNotification, PushProvider, PushResult } from "../../src/ports/push_provider.ts";
import { isAppName, type PushAddress } from "../../src/protocol/target.ts";

/** How the service behind a provider behaves. */
export type PushService =
  /** Takes every notification. */
  | "accepting"
  /** Says that the target is dead for good. */
  | "target-gone"
  /** Says that it will never take this notification. */
  | "refusing"
  /** Says: not now, again in 7 seconds. */
  | "busy"
  /** Says that it failed. */
  | "failing"
  /** Takes the request and says nothing. */
  | "silent"
  /** Is not there. */
  | "unreachable"
  /** Takes every notification, and says that the target has another token, "the-token-that-it-has-now". */
  | "replacing"
  /** Refuses the credentials, or says that the target is of another app or project: HTTP 401 and 403, and what means the same. */
  | "refusing-access";

/** A provider before a service that behaves that way. */
export interface PushStage {
  readonly provider: PushProvider;
  /** A target that the provider takes, with no fields that it can do without. Its token is at least 16 characters long and found nowhere else. */
  readonly target: PushAddress;
  /** How many notifications the service was asked to take. */
  requests(): number;
  /** How many bytes it was sent altogether, bodies only. */
  bytes(): number;
  close(): Promise<void>;
}

/** One thing that a PushProvider must do. */
export interface PushCase {
  readonly name: string;
  /** It needs a service that behaves as not every one does. Absent: no. */
  readonly isOptional?: true;
  run(start: (service: PushService) => Promise<PushStage>): Promise<void>;
}

/** A provider's service does not behave that way. */
class NotForIt extends Error {}

/**
 * Runs one case.
 * @param start sets up a provider before a service, the real one or one that answers like it; undefined where that service never
 * behaves that way, which may be "replacing" and "refusing-access"
 * @throws what the provider did otherwise
 */
export async function runPushCase(
  { isOptional, run }: PushCase,
  start: (service: PushService) => Promise<PushStage | undefined>,
): Promise<void> {
  const stages: PushStage[] = [];
  try {
    await run(async (service) => {
      const stage = await start(service);
      if (stage === undefined) throw new NotForIt(`nothing was set up before a service that is ${service}`);
      stages.push(stage);
      return stage;
    });
  } catch (error) {
    if (!(error instanceof NotForIt) || !isOptional) throw error;
  } finally {
    for (const stage of stages) await stage.close();
  }
}

const notification: PushNotification = {
  userId: "sara",
  id: "message-1",
  topic: "sara/default",
  position: { epoch: 5, offset: 1 },
  collapseId: "0123456789abcdef",
  alert: { title: "Omid", body: "Hello" },
  silent: false,
  urgency: "normal",
  ttl: 3_600,
  waiting: 1,
};

function send({ provider, target }: PushStage, changed: Partial<PushNotification> = {}): Promise<PushResult> {
  return provider.send(target, { ...notification, ...changed }, { signal: new AbortController().signal });
}

/** What any target may say, whichever service it is of. */
const details = { locale: "fa-IR", timeZone: "Asia/Tehran", reports: ["shown", "opened"] } as const;

/** A provider's verdict, and that it asked once for it. */
function verdict(name: string, service: PushService, want: PushResult["verdict"]): PushCase {
  return {
    name,
    async run(start) {
      const stage = await start(service);
      strictEqual((await send(stage)).verdict, want);
      if (service !== "unreachable") strictEqual(stage.requests(), 1, "one send asks once: trying again is the engine's");
    },
  };
}

/** What every PushProvider must do. */
export function pushProviderCases(): PushCase[] {
  return [
    verdict("says sent when the service took it", "accepting", "sent"),
    {
      name: "names a push by a handle that can be stored, if at all",
      async run(start) {
        const result = await send(await start("accepting"));
        if (!("handle" in result)) return;
        strictEqual(typeof result.handle === "string" && result.handle.length > 0 && result.handle.length <= 1_024, true);
      },
    },
    verdict("says gone when the target is dead", "target-gone", "gone"),
    {
      name: "says since when a target is dead in milliseconds since 1970, if at all",
      async run(start) {
        const result = await send(await start("target-gone"));
        if (!("since" in result)) return;
        // Seconds would be before 2001.
        strictEqual(Number.isFinite(result.since) && result.since! > 1e12, true);
      },
    },
    verdict("says rejected when the service will never take it", "refusing", "rejected"),
    verdict("says retry when the service failed", "failing", "retry"),
    verdict("says retry when the service is not there", "unreachable", "retry"),
    { ...verdict("says replaced when the service names another token", "replacing", "replaced"), isOptional: true },
    {
      name: "passes on the token that the target has now",
      isOptional: true,
      async run(start) {
        const result = await send(await start("replacing"));
        strictEqual("token" in result ? result.token : undefined, "the-token-that-it-has-now");
      },
    },
    {
      name: "does not blame the service where the target may have caused it",
      async run(start) {
        for (const service of ["target-gone", "refusing"] as const) {
          const result = await send(await start(service));
          notStrictEqual("scope" in result ? result.scope : undefined, "service", `with a service that is ${service}`);
        }
      },
    },
    {
      name: "says that it is unclear whose fault it is when access is refused",
      isOptional: true,
      async run(start) {
        const result = await send(await start("refusing-access"));
        strictEqual("scope" in result ? result.scope : undefined, "unclear");
      },
    },
    {
      name: "names a lane that is the same each time, and tells no token",
      async run(start) {
        const { provider, target } = await start("accepting");
        if (provider.lane === undefined) return;
        const lanes = [target, { ...target, ...details }, target].map((one) => provider.lane!(one));
        strictEqual(lanes.every((lane) => typeof lane === "string" && lane.length <= 256), true, "256 characters at most");
        strictEqual(new Set(lanes).size, 1, "the same for one target");
        strictEqual(lanes[0]!.includes(target.token), false, "no token");
      },
    },
    {
      name: "passes on when to come again",
      async run(start) {
        const result = await send(await start("busy"));
        deepStrictEqual([result.verdict, "afterMs" in result ? result.afterMs : undefined], ["retry", 7_000]);
      },
    },
    {
      name: "gives up when it is told to, and says retry",
      async run(start) {
        const { provider, target, requests } = await start("silent");
        const controller = new AbortController();
        const sending = provider.send(target, notification, { signal: controller.signal });
        while (requests() === 0) await new Promise((resolve) => setTimeout(resolve, 1));
        controller.abort();
        strictEqual((await sending).verdict, "retry");
      },
    },
    {
      name: "does not begin when it was told to give up before",
      async run(start) {
        const { provider, target, requests } = await start("accepting");
        strictEqual((await provider.send(target, notification, { signal: AbortSignal.abort() })).verdict, "retry");
        strictEqual(requests(), 0);
      },
    },
    {
      name: "leaves out what is too large, and brings the rest",
      async run(start) {
        for (const large of [{ alert: { body: "a".repeat(1 << 20) } }, { native: { large: "a".repeat(1 << 20) } }]) {
          const stage = await start("accepting");
          strictEqual((await send(stage, large)).verdict, "sent");
          strictEqual(stage.requests(), 1);
          strictEqual(stage.bytes() < 1 << 19, true, "without the words");
        }
      },
    },
    {
      name: "rejects what is too large even without its words, before any request",
      async run(start) {
        const stage = await start("accepting");
        strictEqual((await send(stage, { id: "a".repeat(1 << 20) })).verdict, "rejected");
        strictEqual(stage.requests(), 0);
      },
    },
    {
      name: "sends what shows nothing, and what stands for many",
      async run(start) {
        const stage = await start("accepting");
        strictEqual((await send(stage, { alert: undefined, silent: true })).verdict, "sent");
        strictEqual((await send(stage, { waiting: 12, alert: { body: "سلام 😀" } })).verdict, "sent");
      },
    },
    {
      name: "never tells a token",
      async run(start) {
        for (const service of ["accepting", "target-gone", "refusing", "busy", "failing", "unreachable"] as const) {
          const stage = await start(service);
          const told = JSON.stringify(await send(stage));
          strictEqual(told.includes(stage.target.token), false, `with a service that is ${service}`);
        }
      },
    },
    {
      name: "has a plain name, takes its own targets and says what is wrong with others",
      async run(start) {
        const { provider, target } = await start("accepting");
        match(provider.name, /^[a-z][a-z0-9-]*$/);
        strictEqual(provider.targetFault?.(target), undefined);
        for (const token of ["", "\0", "a".repeat(100_000), "{]"]) {
          for (const garbage of [{ token }, { ...target, token }, { token, app: "unknown", keyId: "x" }]) {
            strictEqual(String(provider.targetFault?.(garbage)).includes("a".repeat(100)), false, "a fault goes to the client");
          }
        }
      },
    },
    {
      name: "names the apps that it is set up for, its targets' among them",
      async run(start) {
        const { provider: { apps }, target } = await start("accepting");
        if (apps === undefined) return;
        strictEqual(apps.length > 0 && apps.every(isAppName), true, "1 or more names of apps");
        strictEqual(apps.includes(target.app!), true, "its target names one of them");
      },
    },
    {
      name: "says how much of a message its service is to have",
      async run(start) {
        const { provider: { content = "full" } } = await start("accepting");
        match(content, /^(full|none)$/);
      },
    },
    {
      name: "takes targets that say more",
      async run(start) {
        const stage = await start("accepting");
        const target = { ...stage.target, ...details };
        strictEqual(stage.provider.targetFault?.(target), undefined);
        strictEqual((await send({ ...stage, target })).verdict, "sent");
      },
    },
    {
      name: "changes nothing of what it is given",
      async run(start) {
        const { provider, target } = await start("accepting");
        const given = structuredClone({ target: { ...target, ...details }, notification });
        const before = structuredClone(given);
        await provider.send(given.target, given.notification, { signal: new AbortController().signal });
        deepStrictEqual(given, before);
      },
    },
  ];
}
