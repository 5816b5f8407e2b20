/** The least and the most that a service can make us wait, milliseconds. */
const MIN_WAIT_MS = 1_000;
const MAX_WAIT_MS = 3_600_000;

/** The three date forms of RFC 9110 section 5.6.7. All are GMT; only the last does not say so. */
const httpDate = [
  /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/,
  /^[A-Z][a-z]{5,8}, \d{2}-[A-Z][a-z]{2}-\d{2} \d{2}:\d{2}:\d{2} GMT$/,
  /^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} \d{4}$/,
];

/**
 * How long a Retry-After header (RFC 9110 section 10.2.3: seconds or a date) asks to wait, in milliseconds between a second and
 * an hour. Undefined when there is none or it says nothing.
 */
export function retryAfter(header: string | undefined, now: number): number | undefined {
  const value = header?.trim() ?? "";
  let wait: number;
  if (/^\d+$/.test(value)) wait = Number(value) * 1_000;
  else if (httpDate.some((form) => form.test(value))) wait = Date.parse(value.endsWith("GMT") ? value : `${value} GMT`) - now;
  else return undefined;
  return Number.isNaN(wait) ? undefined : Math.min(Math.max(wait, MIN_WAIT_MS), MAX_WAIT_MS);
}
