import { Buffer } from "node:buffer";
import { connect } from "node:http2";
import { apnsToken, type Contender } from "./contender.ts";

/**
 * Sends the bytes that Peyk sent, over one session, and reads the answers: what a push costs that nobody composes. What differs from
 * push to push in Peyk's headers does so here, for HTTP/2 sends a header that it knows already as one byte.
 */
export const bare: Contender = async ({ ca, port, sample }) => {
  const session = connect(`https://localhost:${port}`, { ca });
  await new Promise((resolve) => session.once("remoteSettings", resolve));
  const { body, headers, path } = sample!;
  const bytes = Buffer.from(body, "base64");
  return {
    send: (index) =>
      new Promise((resolve, reject) => {
        const all: Record<string, string> = { ...headers, ":method": "POST", ":path": path };
        if (headers["apns-id"] !== undefined) {
          const digits = String(index).padStart(12, "0");
          all["apns-id"] = headers["apns-id"].slice(0, -12) + digits;
          all["apns-collapse-id"] = `${digits}${headers["apns-collapse-id"]!.slice(12)}`;
          all[":path"] = path.slice(0, -64) + apnsToken(index);
        } else if (headers["topic"] !== undefined) {
          // Of a Web Push service the path is the recipient's, the topic the message's.
          all["topic"] = String(index).padStart(headers["topic"].length, "0");
          all[":path"] = `/push/${index}`;
        }
        const stream = session.request(all);
        let status: number | undefined;
        stream.on("response", (answer) => status = answer[":status"]);
        stream.on("data", () => undefined);
        stream.on("end", () => status! < 300 ? resolve() : reject(new Error(`HTTP ${status}`)));
        stream.on("error", reject);
        stream.end(bytes);
      }),
  };
};
