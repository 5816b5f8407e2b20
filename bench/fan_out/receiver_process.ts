import process from "node:process";
import type { PeerName } from "./plan.ts";
import { type NewSubscriber, receive } from "./receiver.ts";
import { PeykSubscriber } from "./subscribers/peyk.ts";
import { PlainSubscriber } from "./subscribers/plain.ts";
import { SocketIoSubscriber } from "./subscribers/socket_io.ts";

const [name, tallyPath] = process.argv.slice(2) as [PeerName, string];

receive(tallyPath, subscriberOf(name));

function subscriberOf(name: PeerName): NewSubscriber {
  switch (name) {
    case "peyk":
      return PeykSubscriber.several();
    case "socket.io":
      return (_, ...rest) => new SocketIoSubscriber(...rest);
    case "ws":
    case "ws-batched":
    case "bare":
      return (_, ...rest) => new PlainSubscriber(...rest);
  }
}
