import { createRequire } from "node:module";
import { apnsToken, BODY, type Contender, TITLE } from "./contender.ts";
import { APP } from "./peyk.ts";

/** What is used of `@parse/node-apn`, which has its own folder and no types there. */
interface NodeApn {
  Provider: new (
    options: object,
  ) => { send(note: object, token: string): Promise<{ failed: readonly { status?: number; error?: Error }[] }> };
  Notification: new (fields: object) => object;
}

/** The `@parse/node-apn` package, as its README says: one provider for the process, a notification and a token at a time. */
export const nodeApn: Contender = async ({ ca, port, secrets }) => {
  const require = createRequire(new URL("../peers/package.json", import.meta.url));
  const { Notification, Provider } = require("@parse/node-apn") as NodeApn;
  const provider = new Provider({
    token: { key: secrets.apnsKey, keyId: "ABC123DEFG", teamId: "DEF123GHIJ" },
    production: false,
    address: "localhost",
    port,
    ca: [ca],
  });
  return await Promise.resolve({
    async send(index) {
      const note = new Notification({
        alert: { title: TITLE, body: BODY },
        topic: APP,
        expiry: Math.floor(Date.now() / 1_000) + 86_400,
        pushType: "alert",
        payload: { id: `message-${index}`, userId: `user ${index}` },
      });
      const { failed } = await provider.send(note, apnsToken(index));
      if (failed.length > 0) throw new Error(String(failed[0]!.error?.message ?? failed[0]!.status));
    },
  });
};
