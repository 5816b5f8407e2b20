import { apns } from "../../../adapters/apns.ts";
import { fcm } from "../../../adapters/fcm.ts";
import { webPush } from "../../../adapters/web_push.ts";
import type { PushAddress, PushNotification, PushProvider } from "../../../mod.ts";
import { apnsToken, BODY, type Contender, fcmToken, type Setting, TITLE } from "./contender.ts";

export const APP = "org.example.app";

export function apnsProvider({ ca, port, secrets }: Setting): PushProvider {
  const origin = `https://localhost:${port}`;
  return apns({
    keys: [{ key: secrets.apnsKey, keyId: "ABC123DEFG", teamId: "DEF123GHIJ", bundleIds: [APP] }],
    endpoints: { production: origin, sandbox: origin },
    allowLoopback: true,
    ca,
  });
}

export const peykApns: Contender = (setting) =>
  through(apnsProvider(setting), (index) => ({ token: apnsToken(index), app: APP }));

export const peykFcm: Contender = ({ ca, port, secrets }) => {
  const { serviceAccount } = secrets;
  // More than any machine sends: it is not the pace that is measured.
  const pushesPerSecond = 1_000_000;
  const provider = fcm({ serviceAccount, origin: `https://localhost:${port}`, allowLoopback: true, ca, pushesPerSecond });
  return through(provider, (index) => ({ token: fcmToken(index) }));
};

export const peykWebPush: Contender = ({ ca, port, secrets }) => {
  const origin = `https://localhost:${port}`;
  const provider = webPush({
    subject: "mailto:push@example.org",
    keys: [secrets.vapid],
    url: "https://example.org/",
    extraOrigins: [origin],
    allowLoopback: true,
    ca,
  });
  return through(
    provider,
    (index) => ({ token: JSON.stringify({ endpoint: `${origin}/push/${index}`, keys: secrets.browser }) }),
  );
};

async function through(provider: PushProvider, target: (index: number) => PushAddress) {
  return await Promise.resolve({
    async send(index: number) {
      // The engine gives each its own.
      const { signal } = new AbortController();
      const result = await provider.send(target(index), notificationOf(index), { signal });
      if (result.verdict !== "sent") throw new Error("reason" in result ? result.reason : result.verdict);
    },
  });
}

function notificationOf(index: number): PushNotification {
  return {
    userId: `user ${index}`,
    id: `message-${index}`,
    topic: `user ${index}/default`,
    position: { epoch: 1, offset: index + 1 },
    collapseId: index.toString(16).padStart(16, "0"),
    alert: { title: TITLE, body: BODY },
    silent: false,
    urgency: "normal",
    ttl: 86_400,
    waiting: 1,
  };
}
