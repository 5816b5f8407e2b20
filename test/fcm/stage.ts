import { onTestFinished } from "vitest";
import { fcm, type FcmProject, type FcmSettings } from "../../adapters/fcm.ts";
import type { PushNotification, PushResult } from "../../src/ports/push_provider.ts";
import type { PushAddress } from "../../src/protocol/target.ts";
import { certificate } from "../tls/certificate.ts";
import { serviceAccount } from "./account.ts";
import { startFakeFcm } from "./fake_fcm.ts";

export const token = "fcmTokenOfThePhone:APA91bHPRgkF3JUikC4ENAHEeMrd41Zxv3hVZjC9KtT8OvPVGJ";

export const notification: PushNotification = {
  userId: "sara",
  id: "message-1",
  topic: "sara/default",
  position: { epoch: 5, offset: 1 },
  collapseId: "0123456789abcdef",
  alert: { title: "Omid", body: "Hello" },
  silent: false,
  urgency: "normal",
  ttl: 3_600,
  waiting: 1,
};

/** What reaches the fake service. */
export const local = { allowLoopback: true, ca: certificate };

/** A provider before a fake service, and what sends one push through it. */
export async function startStage(options: FcmSettings & Partial<FcmProject> = {}) {
  const fake = await startFakeFcm();
  const { origin } = fake;
  const provider = fcm({ serviceAccount: serviceAccount(origin), origin, ...local, ...options });
  onTestFinished(async () => {
    await provider.close!();
    await fake.close();
  });
  const send = (
    target: string | PushAddress = token,
    changes: Partial<PushNotification> = {},
    { signal = new AbortController().signal, ...others }: { signal?: AbortSignal; nodes?: number } = {},
  ): Promise<PushResult> =>
    provider.send(typeof target === "string" ? { token: target } : target, { ...notification, ...changes }, {
      signal,
      ...others,
    });
  return { fake, provider, send };
}
