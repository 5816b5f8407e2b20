import type { Message } from "../../mod.ts";
import { sleep, until } from "../core/time.ts";
import { Device } from "./device.ts";
import { END_MS, STAY_MS } from "./plan.ts";
import { ANSWERS } from "./push_service.ts";
import type { Residents } from "./residents.ts";
import { between, oneOf, type Stage } from "./stage.ts";

/** How they go, for good. */
const WAYS = ["sign out", "revoked", "close", "vanish"] as const;

/** A user whom nobody knew before comes with a new device, does what people do, and is never seen again. */
export async function visit(stage: Stage, residents: Residents, phones: string[]): Promise<void> {
  const { complain, engine, fresh, push } = stage;
  const userId = fresh("guest");
  // Some take a phone over that another guest has left behind.
  const deviceId = (Math.random() < 0.1 ? phones.shift() : undefined) ?? fresh("device");
  const answer = oneOf(ANSWERS);
  const token = `${answer} ${userId}`;
  const waits = await engine.publish({ to: userId, id: fresh("welcome"), content: "You were expected." });
  const came = new Map<string, Message>();
  const device = new Device({
    ...{ url: engine.url, userId, deviceId, complain },
    came: (message) => void came.set(message.id, message),
  });
  const client = device.client!;
  const topic = { to: "*", channel: fresh("hall") };
  try {
    await client.registerPush({ provider: "webhook", token });
    await client.subscribe(topic);
    const hall = await client.publish({ ...topic, id: fresh("hall message"), content: "Anybody here?" });
    const letter = { id: fresh("thanks"), to: residents.someone, content: "Thanks for having me." };
    await client.publish(letter);
    residents.owe(letter.id, letter.to);
    await sleep(between(STAY_MS));
    const hasAll = await until(END_MS, () => came.has(waits.id) && came.has(hall.id), 20);
    if (!hasAll) complain(`${userId} did not get what was theirs`);
    else await client.markRead(came.get(waits.id)!);
    if (Math.random() < 0.5) await client.unsubscribe(topic);
  } catch (error) {
    complain(`${userId}: ${error}`);
  }
  const way = oneOf(WAYS);
  if (way === "sign out") return await client.logout();
  if (way === "revoked") {
    await engine.revoke(userId);
    return await device.close();
  }
  if (way === "close") await device.close();
  else await device.vanish();
  // They are told that there is something for them.
  const id = fresh("farewell");
  if (answer !== "gone") push.expect(token, id);
  await engine.publish({ to: userId, id, content: "Come again!", urgency: "high" });
  if (await until(END_MS, () => !push.isExpected(token, id), 100)) phones.push(deviceId);
}
