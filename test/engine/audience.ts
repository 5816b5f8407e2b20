import type { OutgoingMessage, PublishResult } from "../../mod.ts";
import { createStage, type Device, type DeviceOptions, type Stage } from "./stage.ts";

export const NEWS = { to: "*", channel: "news" };

/** So much waits for the kernel that a connection is full. */
export const FULL = 900_000;

/** "0", "1", … */
export function upTo(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${i}`);
}

/** Readers of public topics, each a person with one device. */
export interface Audience extends Stage {
  readonly devices: Device[];
  /** Publishes on `*\/news` unless told otherwise, and lets it arrive. @returns the id */
  say(content: string, message?: Partial<OutgoingMessage>): Promise<PublishResult>;
  /** What was pushed so far: token, channel, offset. One message's pushes by token. */
  pushed(): string[];
}

/** What an audience is made of. */
export interface AudienceOptions extends DeviceOptions {
  /** What all of them read. Default: news. */
  channels?: string[];
}

/** One device per name, with the name as its push token, that nothing was sent to yet: each of them is passed alone. */
export async function oneByOne(
  names: readonly string[],
  { channels = ["news"], ...rest }: AudienceOptions = {},
): Promise<Audience> {
  const stage = await createStage();
  const { engine, clock, provider } = stage;
  const devices: Device[] = [];
  for (const name of names) {
    for (const channel of channels) await engine.subscribe(name, { to: "*", channel });
    devices.push(await stage.device(name, { token: name, ...rest }));
  }
  const say: Audience["say"] = async (content, message) => {
    const result = await engine.publish({ ...NEWS, content, ...message });
    await clock.settle();
    return result;
  };
  const pushed = (): string[] => {
    const byMessage = Map.groupBy(
      provider.sent,
      ({ notification: { topic, position } }) => `${topic.slice(2)} ${position.offset}`,
    );
    return [...byMessage].flatMap(([name, pushes]) => pushes.map(({ token }) => `${token} ${name}`).sort());
  };
  return { ...stage, devices, say, pushed };
}

/** The same, but all of them just got `"-"` on each channel: from their next message on they are passed together. */
export async function abreast(names: readonly string[], options: AudienceOptions = {}): Promise<Audience> {
  const audience = await oneByOne(names, options);
  const { clock, devices, provider, say } = audience;
  for (const channel of options.channels ?? ["news"]) await say("-", { channel });
  for (const { frames } of devices) frames.length = 0;
  provider.sent.length = 0;
  // Until what watched over these is through.
  await clock.advance(10_000);
  return audience;
}
