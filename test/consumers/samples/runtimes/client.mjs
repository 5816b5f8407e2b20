/** A client that gets the message which waits for it, and one that it publishes itself. */
import process from "node:process";
import { connect } from "peyk/client";

const [, , url, me] = process.argv;
const peyk = connect(url, { token: me });
const contents = [];
const both = new Promise((resolve) => peyk.onMessage(({ content }) => void (contents.push(content) === 2 && resolve())));
await peyk.publish({ to: me, content: "as ever" });
await both;
console.log(`${me} got: ${contents.join(", ")}`);
await peyk.close();
