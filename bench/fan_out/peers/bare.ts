import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { Duplex } from "node:stream";
import { listen, type Peer } from "./peer.ts";

/** The floor for any server in this language: each message is framed once, and that buffer is written to each socket in a loop. */
export async function startBare(): Promise<Peer> {
  const sockets: Duplex[] = [];
  const server = createServer();
  server.on("upgrade", (request, socket) => {
    const accept = createHash("sha1")
      .update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest("base64");
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    socket.resume();
    sockets.push(socket);
  });
  return {
    port: await listen(server),
    broadcast(texts) {
      for (const text of texts) {
        const frame = binaryFrame(Buffer.from(text));
        for (const socket of sockets) socket.write(frame);
      }
    },
  };
}

/** A whole unmasked binary frame (RFC 6455 section 5.2) of less than 64 KiB. */
function binaryFrame(payload: Buffer): Buffer {
  const size = payload.length;
  const head = size < 126 ? [0x82, size] : [0x82, 126, size >> 8, size & 255];
  return Buffer.concat([Buffer.from(head), payload]);
}
