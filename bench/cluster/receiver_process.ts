import process from "node:process";
import { type NewSubscriber, receive } from "../fan_out/receiver.ts";
import { PeykSubscriber } from "../fan_out/subscribers/peyk.ts";
import type { PeerName } from "./plan.ts";
import { AckingSocketIoSubscriber } from "./subscribers/acking_socket_io.ts";
import { LivePeykSubscriber } from "./subscribers/live_peyk.ts";
import { NatsSubscriber } from "./subscribers/nats.ts";

const [name, tallyPath] = process.argv.slice(2) as [PeerName, string];

receive(tallyPath, subscriberOf(name));

function subscriberOf(name: PeerName): NewSubscriber {
  switch (name) {
    case "peyk-nats":
      return LivePeykSubscriber.several();
    case "peyk-jetstream":
    case "peyk-single":
      return PeykSubscriber.several();
    case "socket.io-redis":
      return (_, ...rest) => new AckingSocketIoSubscriber(...rest);
    case "nats-bare":
      return (_, ...rest) => new NatsSubscriber(...rest);
  }
}
