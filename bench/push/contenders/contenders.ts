import { bare } from "./bare.ts";
import type { Contender } from "./contender.ts";
import { firebaseAdmin } from "./firebase_admin.ts";
import { nodeApn } from "./node_apn.ts";
import { peykApns, peykFcm, peykWebPush } from "./peyk.ts";
import { webPushNpm } from "./web_push_npm.ts";

/** Who sends to each service, by name. */
export const CONTENDERS: Readonly<Record<string, Readonly<Record<string, Contender>>>> = {
  apns: { peyk: peykApns, bare, "@parse/node-apn": nodeApn },
  fcm: { peyk: peykFcm, bare, "firebase-admin": firebaseAdmin },
  "web-push": { peyk: peykWebPush, bare, "web-push": webPushNpm },
};
