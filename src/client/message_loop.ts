import type { Message } from "../protocol/message.ts";
import type { Inbox, Outcome } from "./inbox.ts";

/**
 * The messages of all channels, until the signal aborts. One counts as handled when the next is asked for. When the loop is
 * left instead, the last one and those that wait are given back.
 */
export async function* readMessages<Data>(inbox: Inbox, signal: AbortSignal): AsyncGenerator<Message<Data>, void, undefined> {
  const waiting: { message: Message<Data>; settle: (outcome: Outcome) => void }[] = [];
  let more = () => {};
  const run = (message: Message<Data>) =>
    new Promise<Outcome>((settle) => {
      waiting.push({ message, settle });
      more();
    });
  const leave = inbox.add({ channel: undefined, run, patient: true });
  const aborted = () => more();
  signal.addEventListener("abort", aborted);
  try {
    while (!signal.aborted) {
      if (waiting.length > 0) {
        yield waiting[0]!.message;
        waiting.shift()!.settle("done");
      } else await new Promise<void>((resolve) => more = resolve);
    }
  } finally {
    leave();
    signal.removeEventListener("abort", aborted);
    for (const { settle } of waiting) settle("left");
  }
}
