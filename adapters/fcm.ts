import type { PushProvider } from "../src/ports/push_provider.ts";
import { PeykError } from "../src/protocol/errors.ts";
import { checkKinds, type KindsOf } from "../src/protocol/fields.ts";
import { isAppName, type PushAddress } from "../src/protocol/target.ts";
import type { ShownBy } from "./fcm/message.ts";
import { Project } from "./fcm/project.ts";
import { type FcmServiceAccount, readAccount } from "./fcm/service_account.ts";
import { systemClock } from "./fcm/system_clock.ts";
import { ServiceClient } from "./push_service/client.ts";

export type { FcmData } from "./fcm/message.ts";
export type { FcmServiceAccount } from "./fcm/service_account.ts";

/** A Firebase project, and how its apps are sent to. */
export interface FcmProject {
  /** The key that the Firebase console gives for a service account: the JSON file's text, or what it holds. */
  serviceAccount: FcmServiceAccount | string;
  /**
   * The project's apps, by any name that their clients register with (the package name, for example): a target's `app` picks its
   * project. Default: the one project takes all targets, whatever app they name. Of several projects each needs its own.
   */
  apps?: readonly string[];
  /**
   * Who shows a push. Default "notification".
   * - "notification": the system shows it while the app is in the background, without running the app. So the app can't drop what
   *   is for a user who has signed out, change its words, decrypt it, show actions, or tell that it was shown; with the app in front
   *   nothing is shown unless the app does it.
   * - "data": the app is run and shows it itself, so it can do all that. Nothing is shown where Android does not let the app run:
   *   after the person stopped it (Force stop), and where a maker's battery saver holds it back.
   */
  android?: "notification" | "data";
  /** Pushes a second at most, all nodes together. FCM allows a project 10,000 by default. Default 8,000. */
  pushesPerSecond?: number;
}

/** What is the same for all projects. */
export interface FcmSettings {
  /** "none": FCM gets ids and no words, see `PushProvider.content`. Default "full". */
  content?: "full" | "none";
  /** How long one request may take, milliseconds. Default 10,000. */
  timeoutMs?: number;
  /** Where FCM is: another address for tests. Default "https://fcm.googleapis.com". */
  origin?: string;
  /** Allows addresses of this machine, for tests. Default false. */
  allowLoopback?: boolean;
  /** A certificate authority of one's own, PEM, for tests. */
  ca?: string;
}

/** One project, or several. */
export type FcmOptions = FcmSettings & (FcmProject | { projects: readonly FcmProject[] });

const SETTINGS_KINDS: KindsOf<FcmSettings> = {
  ...{ content: "text", timeoutMs: "number", origin: "text", allowLoopback: "flag", ca: "text" },
};
const PROJECT_KINDS: KindsOf<FcmProject> = { serviceAccount: "any", apps: "any", android: "any", pushesPerSecond: "number" };
const ORIGIN = "https://fcm.googleapis.com";
const MAX_PER_SECOND = 1_000_000;
const TOO_MANY_APPS = "Name each app once, with the project that it belongs to.";

/**
 * A push provider for Firebase Cloud Messaging (HTTP v1): Android apps. A target's token is a registration token or a Firebase
 * installation id; which of them is told by its form, an id being 22 base64url characters. FCM's topics are never used.
 *
 * Answers: 200 sent · 404 UNREGISTERED the target is gone · 400 that names a field rejected · 400 INVALID_ARGUMENT without one
 * rejected, and the target rests; gone when a second push meets the same · 403 SENDER_ID_MISMATCH, 401 THIRD_PARTY_AUTH_ERROR and
 * other 404 again later, the target rests, and the project does when that is the answer to several users · 401 and 403 else: another
 * access token is asked for once, then the project rests · 429 again after Retry-After, and after a minute at least for the
 * project's quota, which the project waits for · 500 and 503 again later, the project waits.
 * What makes a payload larger than 4,096 bytes is left out, `alert` and `native`: a message waits then.
 *
 * @example
 * ```ts ignore
 * const serviceAccount = readFileSync("service-account.json", "utf8");
 * createEngine({ push: [fcm({ serviceAccount })] });
 * ```
 *
 * @throws {PeykError} `bad-config`, `bad-url`
 */
export function fcm(options: FcmOptions): PushProvider {
  const given = projectsOf(options);
  const { allowLoopback = false, ca, content, timeoutMs } = options;
  const origin = readOrigin(options.origin ?? ORIGIN);
  const client = new ServiceClient({ allowLoopback, ...timeoutMs !== undefined && { timeoutMs }, ...ca !== undefined && { ca } });
  const projects: Project[] = [];
  /** Empty: the one project takes all targets. */
  const byApp = new Map<string, Project>();
  for (const one of given) {
    const project = new Project({
      account: readAccount(one.serviceAccount),
      shownBy: readShownBy(one.android),
      pushesPerSecond: readPace(one.pushesPerSecond),
      origin,
      client,
      clock: systemClock,
    });
    if (projects.some(({ lane }) => lane === project.lane)) {
      throw fault(`projects: ${project.lane} is there twice`, "Give a project once, with all its apps.");
    }
    for (const app of readApps(one.apps, given.length)) {
      if (byApp.has(app)) throw fault(`apps: ${app} is there twice`, TOO_MANY_APPS);
      byApp.set(app, project);
    }
    projects.push(project);
  }

  const projectOf = ({ app }: PushAddress): Project | undefined => byApp.size === 0 ? projects[0] : byApp.get(app ?? "");

  return {
    name: "fcm",
    ...byApp.size > 0 && { apps: [...byApp.keys()] },
    ...content && { content },
    targetFault,
    lane: (target) => projectOf(target)?.lane ?? "",
    async send(target, notification, options) {
      const project = projectOf(target);
      if (project === undefined) return { verdict: "rejected", reason: "no project is set up for its app" };
      return await project.send(target.token, notification, options);
    },
    close: () => client.close(),
  };
}

/** The options' own project, or those of their list. */
function projectsOf(options: FcmOptions): readonly FcmProject[] {
  const all = { ...SETTINGS_KINDS, ...PROJECT_KINDS, projects: "any" } as const;
  checkKinds(options, all, "fcm");
  if (!("projects" in options)) return [options];
  const { projects, ...settings } = options;
  checkKinds(settings, SETTINGS_KINDS, "fcm with projects");
  if (!Array.isArray(projects) || projects.length === 0) {
    throw fault("projects: not a list of one or more", "Give one project at least.");
  }
  for (const [index, project] of projects.entries()) checkKinds(project, PROJECT_KINDS, `projects[${index}]`);
  return projects;
}

/** Registration tokens and installation ids are of these characters; other services' subscriptions are not. */
function targetFault({ token }: PushAddress): string | undefined {
  return /^[\w:.%=-]+$/.test(token) ? undefined : "neither a registration token nor an installation id";
}

function readApps(apps: readonly string[] | undefined, projects: number): readonly string[] {
  if (apps === undefined && projects === 1) return [];
  if (!Array.isArray(apps) || apps.length === 0 || !apps.every(isAppName)) {
    const hint = "Of several projects each needs its apps; an app's name is 1-128 letters, digits and ._:-";
    throw fault("apps: not a list of one or more names of apps", hint);
  }
  return apps;
}

function readShownBy(android: ShownBy = "notification"): ShownBy {
  if (android === "notification" || android === "data") return android;
  throw fault('android: neither "notification" nor "data"', "Leave it out for notifications that the system shows.");
}

function readPace(perSecond = 8_000): number {
  if (Number.isFinite(perSecond) && perSecond >= 1 && perSecond <= MAX_PER_SECOND) return perSecond;
  throw fault(`pushesPerSecond: not a number from 1 to ${MAX_PER_SECOND}`, "Leave it out for 8,000.");
}

function readOrigin(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === "https:" && url.href === `${url.origin}/`) return url;
  throw new PeykError("bad-url", "origin: not https and a host alone", { hint: `Leave it out for ${ORIGIN}.` });
}

function fault(what: string, hint: string): PeykError {
  return new PeykError("bad-config", what, { hint });
}
