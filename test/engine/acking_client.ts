/** A client in a thread of its own: it answers while the thread of the engine stands still. */
import process from "node:process";
import { parentPort, workerData } from "node:worker_threads";
import { connect } from "../../src/client/client.ts";

const { url, token } = workerData as { url: string; token: string };
const client = connect(url, { token: () => token });
client.onMessage(({ id }) => parentPort!.postMessage(id));
await client.registerPush({ provider: "fake", token: `${token} token` });
parentPort!.postMessage("ready");
parentPort!.on("message", () => void client.close().then(() => process.exit()));
