import { onTestFinished } from "vitest";
import { apns, type ApnsOptions } from "../../adapters/apns.ts";
import type { PushNotification, PushResult } from "../../src/ports/push_provider.ts";
import type { PushAddress } from "../../src/protocol/target.ts";
import { certificate } from "../tls/certificate.ts";
import { FakeApns, fakeKey, type FakeOptions } from "./fake_apns.ts";

/** A device token that is found nowhere else. */
export const deviceToken = "c0ffee".repeat(10) + "ab12";
export const app = "org.example.app";

export const notification: PushNotification = {
  userId: "u1",
  id: "m1",
  topic: "u1/default",
  position: { epoch: 1, offset: 2 },
  collapseId: "c1",
  alert: { title: "Sara", body: "Hello" },
  silent: false,
  urgency: "normal",
  ttl: 60,
  waiting: 1,
};

/** The options of a provider before this fake. */
export function optionsFor(fake: FakeApns, keys: ApnsOptions["keys"]): ApnsOptions {
  const endpoints = { production: fake.origin, sandbox: fake.origin };
  return { keys, endpoints, ca: certificate, allowLoopback: true };
}

/** A provider with one key before a fake that behaves this way. Both are closed when the test ends. */
export async function stage(behaviour: FakeOptions = {}, options: Partial<ApnsOptions> = {}) {
  const key = fakeKey();
  const fake = await FakeApns.start({ keys: [key], ...behaviour });
  const { key: text, keyId, teamId } = key;
  const provider = apns({ ...optionsFor(fake, [{ key: text, keyId, teamId, bundleIds: [app] }]), ...options });
  onTestFinished(async () => {
    await provider.close?.();
    await fake.close();
  });
  const send = (
    changes: Partial<PushNotification> = {},
    target: Partial<PushAddress> = {},
    signal = new AbortController().signal,
  ): Promise<PushResult> => provider.send({ token: deviceToken, app, ...target }, { ...notification, ...changes }, { signal });
  return { fake, key, provider, send };
}
