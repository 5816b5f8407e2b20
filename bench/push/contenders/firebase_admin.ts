import { createRequire } from "node:module";
import { BODY, type Contender, fcmToken, TITLE } from "./contender.ts";

/** What is used of `firebase-admin`, which has its own folder. */
interface Admin {
  initializeApp(options: object): object;
}
interface Messaging {
  getMessaging(
    app: object,
  ): { sendEach(messages: readonly object[]): Promise<{ failureCount: number; responses: readonly { error?: Error }[] }> };
}
interface Session {
  request(headers: object): unknown;
}
type Connect = (url: string, options?: object) => Session;

/** As many as one call takes. */
const BATCH = 500;

/** The `firebase-admin` package, as its README says: `sendEach` with as many messages as it takes. Only the address is another one. */
export const firebaseAdmin: Contender = async ({ ca, port, secrets }) => {
  const require = createRequire(new URL("../peers/package.json", import.meta.url));
  const http2 = require("node:http2") as { connect: Connect };
  const { connect } = http2;
  http2.connect = (_url, options) => {
    const session = connect(`https://localhost:${port}`, { ...options, ca });
    const request = session.request.bind(session);
    // It says "https:", which Google's servers take and Node's don't (RFC 9113 section 8.3.1).
    session.request = (headers) => request({ ...headers, ":scheme": "https" });
    return session;
  };
  const { initializeApp } = require("firebase-admin/app") as Admin;
  const { getMessaging } = require("firebase-admin/messaging") as Messaging;
  const { project_id: projectId } = secrets.serviceAccount;
  const credential = { getAccessToken: () => Promise.resolve({ access_token: "a", expires_in: 3_600 }) };
  const messaging = getMessaging(initializeApp({ credential, projectId }));
  return await Promise.resolve({
    async sendMany(from, to) {
      for (let first = from; first < to; first += BATCH) {
        const messages = Array.from({ length: Math.min(BATCH, to - first) }, (_, i) => ({
          token: fcmToken(first + i),
          notification: { title: TITLE, body: BODY },
          data: { id: `message-${first + i}`, userId: `user ${first + i}` },
          android: { ttl: 86_400_000 },
        }));
        const { failureCount, responses } = await messaging.sendEach(messages);
        if (failureCount > 0) throw responses.find(({ error }) => error !== undefined)!.error!;
      }
    },
  });
};
