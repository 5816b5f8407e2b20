/** Engines and clients in `await using`. */
import { createEngine } from "peyk";
import { connect } from "peyk/client";
import { WebSocket } from "ws";

export async function greet(): Promise<void> {
  await using engine = await createEngine({ insecure: true });
  await using client = connect("ws://localhost/peyk", { WebSocket });
  const both: AsyncDisposable[] = [engine, client];
  console.log(both.length);
}
