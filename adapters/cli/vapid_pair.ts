import { Buffer } from "node:buffer";
import { createECDH } from "node:crypto";

/** A new pair for Web Push, both base64url: the point of 65 bytes and the secret number of 32. */
export function vapidPair(): { publicKey: string; privateKey: string } {
  const pair = createECDH("prime256v1");
  const publicKey = pair.generateKeys("base64url");
  // A number that begins with zeros comes shorter.
  const secret = pair.getPrivateKey("hex").padStart(64, "0");
  return { publicKey, privateKey: Buffer.from(secret, "hex").toString("base64url") };
}
