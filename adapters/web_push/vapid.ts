import { Buffer } from "node:buffer";
import { createECDH, createHash, createPrivateKey, type KeyObject, sign } from "node:crypto";
import { PeykError } from "../../src/protocol/errors.ts";
import { decoded, decodedPoint } from "./point.ts";

/** The pair by which a server identifies itself to push services (RFC 8292). `npx peyk vapid` makes one. */
export interface VapidKey {
  /** An uncompressed point of P-256 as base64url, 87 characters. Browsers subscribe with it, as `applicationServerKey`. */
  publicKey: string;
  /** 32 bytes as base64url, 43 characters. Secret. */
  privateKey: string;
  /**
   * What targets name it by: 1-128 letters, digits, `-` and `_`. Default: the first 16 hex digits of the public key's SHA-256, so the
   * same at every start.
   */
  keyId?: string;
}

/** Services refuse what is valid for more than 24 hours. This leaves 6 hours for clocks that differ, either way. */
const VALID_SECONDS = 18 * 3_600;
/** A signature is used for so long. */
const USED_MS = 12 * 3_600_000;
/** Clients name hosts: of more origins than this the one that was signed for first is forgotten. */
const MAX_ORIGINS = 256;

/** Signs by one key: once for each origin, and anew after 12 hours. */
export class VapidSigner {
  readonly keyId: string;
  readonly publicKey: string;
  readonly #privateKey: KeyObject;
  readonly #subject: string;
  readonly #signed = new Map<string, { header: string; at: number }>();

  /** @throws {PeykError} `bad-config` where the key is none; nothing of it is in the error */
  constructor(subject: string, { publicKey, privateKey, keyId }: VapidKey) {
    const point = decodedPoint(publicKey);
    if (point === undefined) throw bad("publicKey: not base64url of an uncompressed point of P-256, 65 bytes");
    const secret = decoded(privateKey, 32);
    if (secret === undefined) throw bad("privateKey: not base64url of 32 bytes");
    if (!isPair(secret, point)) throw bad("publicKey does not belong to privateKey");
    this.#privateKey = keyOf(secret, point);
    this.#subject = subject;
    this.publicKey = point.toString("base64url");
    this.keyId = keyId ?? createHash("sha256").update(point).digest("hex").slice(0, 16);
    if (!/^[\w-]{1,128}$/.test(this.keyId)) throw bad("keyId: not 1-128 letters, digits, - and _");
  }

  /**
   * The header `authorization` of requests to an origin (RFC 8292 section 3).
   * @param now milliseconds since 1970
   */
  authorization(origin: string, now: number): string {
    const known = this.#signed.get(origin);
    // What was signed before the clock was set back is of the future, and may be valid for too long.
    if (known !== undefined && now >= known.at && now < known.at + USED_MS) return known.header;
    const header = `vapid t=${this.#token(origin, now)}, k=${this.publicKey}`;
    this.#signed.delete(origin);
    this.#signed.set(origin, { header, at: now });
    if (this.#signed.size > MAX_ORIGINS) this.#signed.delete(this.#signed.keys().next().value!);
    return header;
  }

  #token(aud: string, now: number): string {
    const claims = { aud, exp: Math.floor(now / 1_000) + VALID_SECONDS, sub: this.#subject };
    const text = [{ typ: "JWT", alg: "ES256" }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
      .join(".");
    const signature = sign("sha256", Buffer.from(text), { key: this.#privateKey, dsaEncoding: "ieee-p1363" });
    return `${text}.${signature.toString("base64url")}`;
  }
}

/**
 * Checks the address that services turn to when something is wrong with what they get.
 * @throws {PeykError} `bad-config`
 */
export function checkSubject(subject: string): void {
  if (/^mailto:[^\s@<>]+@[^\s@<>]+\.[^\s@<>.]+$/.test(subject)) return;
  if (URL.canParse(subject)) {
    const { protocol, hostname } = new URL(subject);
    if (protocol === "https:" && hostname.includes(".") && !/\.(local|localhost)$/.test(hostname)) return;
  }
  throw new PeykError("bad-config", "subject: not a mailto: or https: address that others can reach", {
    hint: "Use an address of yours, such as mailto:push@example.org. With one that is not real Apple answers 403 BadJwtToken.",
  });
}

function isPair(secret: Buffer, point: Buffer): boolean {
  const pair = createECDH("prime256v1");
  try {
    pair.setPrivateKey(secret);
    return pair.getPublicKey().equals(point);
  } catch {
    return false; // 0, or not below the curve's order
  }
}

/** By way of a JSON Web Key (RFC 7518 section 6.2). */
function keyOf(secret: Buffer, point: Buffer): KeyObject {
  const [x, y, d] = [point.subarray(1, 33), point.subarray(33), secret].map((part) => part.toString("base64url"));
  return createPrivateKey({ key: { kty: "EC", crv: "P-256", x: x!, y: y!, d: d! }, format: "jwk" });
}

function bad(why: string): PeykError {
  return new PeykError("bad-config", `keys: ${why}`, { hint: "`npx peyk vapid` makes a pair." });
}
