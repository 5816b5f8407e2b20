import { Buffer } from "node:buffer";
import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";

/** Keys and accounts of nobody, made for one run. */
export interface Secrets {
  /** PKCS#8, PEM. */
  apnsKey: string;
  serviceAccount: { type: "service_account"; project_id: string; client_email: string; private_key: string; token_uri: string };
  vapid: { publicKey: string; privateKey: string };
  /** A browser's subscription without its endpoint. */
  browser: { p256dh: string; auth: string };
}

/** @param port where the token endpoint is */
export function makeSecrets(port: number): Secrets {
  return {
    apnsKey: pem(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey),
    serviceAccount: {
      type: "service_account",
      project_id: "peyk-bench",
      client_email: "bench@peyk-bench.iam.gserviceaccount.com",
      private_key: pem(generateKeyPairSync("rsa", { modulusLength: 2_048 }).privateKey),
      token_uri: `https://localhost:${port}/token`,
    },
    vapid: ecPair(),
    browser: { p256dh: ecPair().publicKey, auth: randomBytes(16).toString("base64url") },
  };
}

function pem(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}

/** A P-256 pair as Web Push writes it: the point and the scalar, base64url. */
function ecPair(): { publicKey: string; privateKey: string } {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { d } = privateKey.export({ format: "jwk" });
  const { x, y } = createPublicKey(privateKey).export({ format: "jwk" });
  const point = [Buffer.of(4), Buffer.from(x!, "base64url"), Buffer.from(y!, "base64url")];
  return { publicKey: Buffer.concat(point).toString("base64url"), privateKey: d! };
}
