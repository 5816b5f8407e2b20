/** What an entry of an Origin allow-list looks like: scheme, host and port, nothing after them. */
const originForm = /^[a-z][a-z0-9+.-]*:\/\/[^\s/?#@*\\]+$/;
/** What a Host header looks like: nothing that would make a URL parser read it as more than host and port. */
const hostForm = /^[^\s/?#@\\]+$/;

/** Any subdomain, at any depth, in an allow-list: `https://*.example.org`. */
const anySubdomain = "://*.";
/** What may stand for its `*`. */
const labels = /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/i;

/** Which origins may connect: exact ones and patterns, or a function. */
export type AllowedOrigins = readonly string[] | ((origin: string) => boolean);

/** Whether a Host header names a host, and a port or none, and nothing else. */
export function isHost(host: string): boolean {
  return hostForm.test(host) && URL.canParse(`http://${host}`);
}

/**
 * Why `origin` can't stand in an allow-list, or undefined when it can. `"null"` (sandboxed pages, `file:`) may be listed.
 * A slip here (a trailing slash, a capital letter) would lock everybody out, so gateways say it at the start.
 */
export function originFault(origin: string): string | undefined {
  if (origin === "null") return undefined;
  if (origin.includes(anySubdomain)) return originFault(origin.replace(anySubdomain, "://x."))?.replace("x.", "*.");
  if (!originForm.test(origin) || !URL.canParse(origin)) {
    return "not of the form scheme://host or scheme://host:port, in lower case";
  }
  const { protocol, host } = new URL(origin);
  const exact = `${protocol}//${host}`;
  return exact === origin ? undefined : `browsers send it as "${exact}"`;
}

/**
 * Whether a page of `origin` may open a connection (RFC 6454, RFC 6455 section 10.2).
 *
 * No Origin header means no browser: allowed, because such a client could claim any origin.
 * With a list the origin must be one of its entries, exactly, or a subdomain of one with `*`; a function must say true, not only
 * something like it, and a throw is a no. Without one its host and port must be those of the Host header;
 * `"null"` has neither and is refused.
 *
 * @param origin the Origin header, null when there is none
 * @param host the Host header, null when there is none
 * @param allowed exact origins, such as `https://example.org`, or with any subdomain, `https://*.example.org`; or a function
 */
export function originAllowed(origin: string | null, host: string | null, allowed: AllowedOrigins | undefined): boolean {
  if (origin === null) return true;
  if (typeof allowed === "function") return saysTrue(allowed, origin);
  if (allowed !== undefined) return allowed.some((entry) => entry === origin || isSubdomain(origin, entry));
  if (host === null || !isHost(host) || !/^https?:\/\//.test(origin) || !originForm.test(origin)) return false;
  if (!URL.canParse(origin)) return false;
  const { protocol, host: wanted } = new URL(origin);
  // The same parser reads both, so that case and a scheme's default port make no difference.
  const asked = `${protocol}//${host}`;
  return URL.canParse(asked) && new URL(asked).host === wanted;
}

function isSubdomain(origin: string, pattern: string): boolean {
  const [scheme, domain] = pattern.split(anySubdomain);
  if (domain === undefined) return false;
  const [head, tail] = [`${scheme}://`, `.${domain}`];
  return origin.startsWith(head) && origin.endsWith(tail) && labels.test(origin.slice(head.length, -tail.length));
}

/** An async function's promise is no true. */
function saysTrue(allowed: (origin: string) => boolean, origin: string): boolean {
  try {
    return allowed(origin) === true;
  } catch {
    return false;
  }
}
