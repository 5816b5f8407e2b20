import { setDefaultCACertificates } from "node:tls";
import webpush from "web-push";
import { BODY, type Contender, TITLE } from "./contender.ts";

/** The `web-push` package, as its README says. */
export const webPushNpm: Contender = async ({ ca, port, secrets }) => {
  setDefaultCACertificates([ca]);
  webpush.setVapidDetails("mailto:push@example.org", secrets.vapid.publicKey, secrets.vapid.privateKey);
  const payload = (index: number) =>
    JSON.stringify({ notification: { title: TITLE, body: BODY }, id: `message-${index}`, userId: `user ${index}` });
  return await Promise.resolve({
    async send(index) {
      const subscription = { endpoint: `https://localhost:${port}/push/${index}`, keys: secrets.browser };
      await webpush.sendNotification(subscription, payload(index));
    },
  });
};
