/** A page: browsers' types only, none of Node's. */
import { type Action, type Authenticate, type Engine, type Message, PeykError } from "peyk";
import { type ClientStorage, connect, type PeykClient, type Status } from "peyk/client";

const storage: ClientStorage = {
  get: (key) => localStorage.getItem(key),
  set: (key, value) => localStorage.setItem(key, value),
};
const peyk: PeykClient = connect("/peyk", { token: () => "sara-signs-in", storage, WebSocket });
const leaving = new AbortController();
peyk.onStatus((status: Status) => document.title = status.state, { signal: leaving.signal });
peyk.onMessage((message: Message) => document.body.append(message.content ?? ""));

async function publish(): Promise<boolean> {
  try {
    const { durable } = await peyk.publish({ to: "reza", content: "hi", data: { bytes: new Uint8Array([1]) } });
    return durable;
  } catch (error) {
    if (error instanceof PeykError) return error.retryable;
    throw error;
  }
}

export const authenticate: Authenticate = ({ token, request }) =>
  token === undefined || request?.headers.has("cookie") ? null : { userId: token };
export type Held = [Engine, Action];
export { publish };
