import { describe, test } from "vitest";
import { pushProviderCases, type PushService, type PushStage, runPushCase } from "../../adapters/conformance/conformance.ts";
import { fcm } from "../../adapters/fcm.ts";
import { serviceAccount } from "../fcm/account.ts";
import { fcmError, type Reply, startFakeFcm, violation } from "../fcm/fake_fcm.ts";
import { local } from "../fcm/stage.ts";

/** What FCM says when it behaves that way; where it is not here, it takes the push. */
const replies: Partial<Record<PushService, Reply | "silent">> = {
  "target-gone": fcmError(404, "NOT_FOUND", "UNREGISTERED"),
  refusing: fcmError(400, "INVALID_ARGUMENT", undefined, [violation("message.android.ttl")]),
  busy: { ...fcmError(503, "UNAVAILABLE", "UNAVAILABLE"), headers: { "retry-after": "7" } },
  failing: fcmError(500, "INTERNAL", "INTERNAL"),
  silent: "silent",
  "refusing-access": fcmError(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"),
};

async function start(service: PushService, token: string, apps?: readonly string[]): Promise<PushStage | undefined> {
  // FCM never says that a target has another token.
  if (service === "replacing") return undefined;
  const fake = await startFakeFcm();
  fake.onSend = () => replies[service];
  const { origin } = fake;
  const provider = fcm({
    serviceAccount: serviceAccount(origin),
    origin,
    ...local,
    ...apps && { apps, android: "data" as const },
  });
  if (service === "unreachable") await fake.close();
  return {
    provider,
    target: { token, ...apps && { app: apps[0]! } },
    requests: () => fake.sent.length,
    bytes: () => fake.sent.reduce((sum, { bytes }) => sum + bytes, 0),
    async close() {
      await provider.close!();
      if (service !== "unreachable") await fake.close();
    },
  };
}

describe.each<[string, string, string[]?]>([
  ["a registration token", "fcmTokenOfThePhone:APA91bHPRgkF3JUikC4ENAHEeMrd41Zxv3hVZjC9KtT8OvPVGJ"],
  ["an installation id and an app", "cxyzABC123_-0123456789", ["org.example.app", "org.example.other"]],
])("the FCM provider, with %s", (_what, token, apps) => {
  for (const one of pushProviderCases()) test(one.name, () => runPushCase(one, (service) => start(service, token, apps)));
});
