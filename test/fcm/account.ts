import { generateKeyPairSync } from "node:crypto";
import type { FcmServiceAccount } from "../../adapters/fcm.ts";

const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2_048 });

/** What the fake service checks assertions with. */
export const accountKey = publicKey;

/** A service account as the console gives it, of a service at this origin. */
export function serviceAccount(origin: string, projectId = "my-project"): FcmServiceAccount & { type: string } {
  return {
    type: "service_account",
    project_id: projectId,
    private_key_id: "key-1",
    private_key: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
    client_email: `push@${projectId}.iam.gserviceaccount.com`,
    token_uri: `${origin}/token`,
  };
}
