/** What a device's network does to its sockets. */
export type Weather = "up" | "frozen" | "gone";

/** A device's own network, with a WebSocket class that lives on it: hand it to `connect` as the option `WebSocket`. */
export interface Network {
  readonly WebSocket: typeof WebSocket;
  /**
   * "frozen": sockets stay open, but nothing comes in or goes out until it thaws: an app that the system put to sleep.
   * "gone": no new connections. Cutting the open ones without a goodbye is the server's part, since a page can't do it.
   */
  turn(weather: Weather): void;
}

export function createNetwork(): Network {
  let weather: Weather = "up";
  /** What waits for the thaw, in the order in which it happened. */
  let held: { readonly type: string; happen(): void }[] = [];

  class StageSocket extends WebSocket {
    constructor(url: string | URL, protocols?: string | string[]) {
      // What a browser reports later, as an error event, comes at once; a client takes both alike.
      if (weather === "gone") throw new Error("no network");
      super(url, protocols);
      for (const type of ["open", "message", "close"]) this.addEventListener(type, (event) => this.#hold(event));
    }

    override send(data: Parameters<WebSocket["send"]>[0]): void {
      if (weather === "frozen") held.push({ type: "send", happen: () => super.send(data) });
      else super.send(data);
    }

    override close(code?: number, reason?: string): void {
      if (weather === "frozen") held.push({ type: "leave", happen: () => super.close(code, reason) });
      else super.close(code, reason);
    }

    /** Comes before the client's own listeners, as it listens first. An event can't be sent on twice: a copy is, after the thaw. */
    #hold(event: Event): void {
      if (weather !== "frozen") return;
      event.stopImmediatePropagation();
      held.push({ type: event.type, happen: () => this.dispatchEvent(copyOf(event)) });
    }
  }

  return {
    WebSocket: StageSocket,
    turn(next) {
      weather = next;
      if (weather === "frozen") return;
      const waiting = held;
      held = [];
      // Where the network is gone, nothing of it gets through any more; that a socket was closed is told all the same.
      for (const { type, happen } of waiting) if (next === "up" || type === "close") happen();
    },
  };
}

function copyOf(event: Event): Event {
  if (event instanceof MessageEvent) return new MessageEvent("message", { data: event.data });
  if (event instanceof CloseEvent) return new CloseEvent("close", { code: event.code, reason: event.reason });
  return new Event(event.type);
}
