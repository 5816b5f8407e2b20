/** A Nest app with a gateway of its own beside an engine, on one server: `node nest.mjs before` serves the engine first, `after` last. */
import "reflect-metadata";
import { once } from "node:events";
import process from "node:process";
import { Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { WsAdapter } from "@nestjs/platform-ws";
import { SubscribeMessage, WebSocketGateway } from "@nestjs/websockets";
import { createEngine } from "peyk";
import { connect } from "peyk/client";
import { serveNode } from "peyk/node";
import { WebSocket } from "ws";

// As decorators apply in TypeScript.
class Chat {
  echo(_socket, data) {
    return { event: "echo", data };
  }
}
SubscribeMessage("echo")(Chat.prototype, "echo", Object.getOwnPropertyDescriptor(Chat.prototype, "echo"));
WebSocketGateway({ path: "/chat" })(Chat);
class App {}
Module({ providers: [Chat] })(App);

const [, , order] = process.argv;
const engine = await createEngine({ authenticate: ({ token }) => token === "sara-signs-in" ? { userId: "sara" } : null });
const app = await NestFactory.create(App, { logger: ["error", "warn"] });
app.useWebSocketAdapter(new WsAdapter(app));
if (order === "before") serveNode(engine, app.getHttpServer());
await app.listen(0, "127.0.0.1");
if (order === "after") serveNode(engine, app.getHttpServer());
const { port } = app.getHttpServer().address();

const chat = new WebSocket(`ws://127.0.0.1:${port}/chat`);
const sara = connect(`ws://127.0.0.1:${port}/peyk`, { token: "sara-signs-in" });
const contents = [];
const both = new Promise((resolve) => sara.onMessage(({ content }) => void (contents.push(content) === 2 && resolve())));
await once(chat, "open");
const answered = once(chat, "message");
await engine.publish({ to: "sara", content: "Hello world" });
chat.send(JSON.stringify({ event: "echo", data: "Hello Nest" }));
console.log(`Nest answered: ${(await answered)[0]}`);
await sara.publish({ to: "sara", content: "as ever" });
await both;
console.log(`sara got: ${contents.join(", ")}`);

await sara.close();
await engine.close();
// Ends the sockets of the gateway too. A process that does not end now has something left.
await app.close();
