import { PeykError } from "./errors.ts";

/** What a device says about its push target, beside the token. All of it is public: it may stand in a log. */
export interface TargetDetails {
  /** Which app it is of, where a provider serves several: a bundle id, a package name. 1-128 letters, digits and `._:-`. */
  readonly app?: string;
  /** Which of a service's two worlds the token is of (APNs). Default: the provider's choice. */
  readonly environment?: "sandbox" | "production";
  /** Names the key that the subscription was made for (Web Push: RFC 8292). 1-128 letters, digits, `-` and `_`. */
  readonly keyId?: string;
  /** The person's language, a BCP 47 tag (RFC 5646) of 35 characters at most. Stored in its canonical form: `fa-ir` becomes `fa-IR`. */
  readonly locale?: string;
  /**
   * The person's time zone: a name of the IANA database or an offset, as `Intl.DateTimeFormat().resolvedOptions()` says it. 1-64
   * letters, digits and `_+:/-`. Its form is checked, not whether it is known here: devices learn of zones before servers do.
   */
  readonly timeZone?: string;
  /** What the app tells of a push that came. Default: nothing. */
  readonly reports?: readonly ("shown" | "opened")[];
}

/** Where a device can be reached, as its client registered it. */
export interface PushAddress extends TargetDetails {
  /** The secret: a token, a subscription as JSON, a URL. 1-4,096 characters. */
  readonly token: string;
}

const REPORTS = ["shown", "opened"] as const;
const MAX_LOCALE = 35;

/** Whether it can name an app. */
export function isAppName(name: unknown): name is string {
  return typeof name === "string" && /^[\w.:-]{1,128}$/.test(name);
}

/**
 * What a client said about its target, checked. Null counts as absent, of the whole and of each field.
 * @throws {PeykError} `bad-message` for a field that is not known, or holds what it can't
 */
export function checkDetails(given: unknown): TargetDetails {
  if (given === null) return {};
  if (typeof given !== "object" || Object.getPrototypeOf(given) !== Object.prototype) throw fault("details", "a map");
  const { app, environment, keyId, locale, timeZone, reports, ...others } = given as Record<string, unknown>;
  const [unknown] = Object.keys(others);
  // Not its name: that may be anything, of any length.
  if (unknown !== undefined) throw fault("a field", "app, environment, keyId, locale, timeZone or reports");
  const details: { -readonly [Key in keyof TargetDetails]: TargetDetails[Key] } = {};
  if (isGiven(app)) {
    if (!isAppName(app)) throw fault("app", "1-128 letters, digits and ._:-");
    details.app = app;
  }
  if (isGiven(environment)) {
    if (environment !== "sandbox" && environment !== "production") throw fault("environment", "sandbox or production");
    details.environment = environment;
  }
  if (isGiven(keyId)) {
    if (typeof keyId !== "string" || !/^[\w-]{1,128}$/.test(keyId)) throw fault("keyId", "1-128 letters, digits, - and _");
    details.keyId = keyId;
  }
  if (isGiven(locale)) details.locale = canonical(locale);
  if (isGiven(timeZone)) {
    if (typeof timeZone !== "string" || !/^[\w+:/-]{1,64}$/.test(timeZone)) {
      throw fault("timeZone", "1-64 letters, digits and _+:/-");
    }
    details.timeZone = timeZone;
  }
  if (isGiven(reports)) details.reports = reportsOf(reports);
  return details;
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function canonical(locale: unknown): string {
  try {
    if (typeof locale === "string" && locale.length <= MAX_LOCALE) return Intl.getCanonicalLocales(locale)[0]!;
  } catch {
    // Not a tag.
  }
  throw fault("locale", `a BCP 47 tag of ${MAX_LOCALE} characters at most, such as fa-IR`);
}

function reportsOf(reports: unknown): NonNullable<TargetDetails["reports"]> {
  const isKnown = Array.isArray(reports) && reports.length <= REPORTS.length &&
    reports.every((report) => REPORTS.includes(report));
  if (!isKnown) throw fault("reports", "a list of shown and opened");
  return REPORTS.filter((report) => reports.includes(report));
}

function fault(field: string, wanted: string): PeykError {
  return new PeykError("bad-message", `push target: ${field} is not ${wanted}`, {
    hint: `${field} of a push target: ${wanted}.`,
  });
}
