/** A worker of a page: neither a document nor Node. */
import { connect } from "peyk/client";

const peyk = connect("wss://example.org/peyk", { token: () => fetch("/session-token").then((answer) => answer.text()) });
peyk.onMessage("room-9", ({ content, data }) => postMessage({ content, data }));
export { peyk };
