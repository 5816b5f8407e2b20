import type { Buffer } from "node:buffer";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import websocket from "@fastify/websocket";
import { createAdaptorServer } from "@hono/node-server";
import { createNodeWebSocket } from "@hono/node-ws";
import express from "express";
import expressWs from "express-ws";
import { fastify } from "fastify";
import { Hono } from "hono";
import { createProxyMiddleware } from "http-proxy-middleware";
import { Server as SocketIoServer } from "socket.io";
import { createServer as createVite } from "vite";
import { onTestFinished } from "vitest";
import { WebSocketServer } from "ws";
import type { UpgradeServer } from "../../adapters/node.ts";

/** Another user of the server's upgrades, and how to see that it works. */
export interface Neighbour {
  /**
   * @param before called with the server before the neighbour has it
   * @param after called with it afterwards
   * @returns the URL of its own sockets
   */
  start(before: (server: UpgradeServer) => void, after: (server: UpgradeServer) => void): Promise<string>;
  protocol?: string;
  /** What its sockets are sent, and what they say to that or by themselves. */
  asks?: string;
  says: RegExp;
}

const THEIRS = "/theirs";
const echo = { asks: "echo", says: /^echo$/ };

/** A bare server that a listener is added to: gives the path of its sockets. */
function bare(add: (server: Server) => string | Promise<string>): Neighbour["start"] {
  return async (before, after) => {
    const server = createServer((_request, response) => void response.end("the app"));
    before(server);
    const path = await add(server);
    after(server);
    return `${await listening(server)}${path}`;
  };
}

async function listening(server: Server): Promise<string> {
  if (!server.listening) await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Sockets that say what they are told. */
function echoing(sockets: WebSocketServer): WebSocketServer {
  sockets.on("connection", (socket) => {
    socket.on("error", () => undefined);
    socket.on("message", (data) => socket.send(String(data)));
  });
  onTestFinished(() => sockets.clients.forEach((socket) => socket.terminate()));
  return sockets;
}

/** `ws` with an upgrade listener of the app's, which gets rid of what is not for it. */
function elseDestroy(destroy: (request: IncomingMessage & { socket: { destroy(): void } }) => void): Neighbour["start"] {
  return bare((server) => {
    const sockets = echoing(new WebSocketServer({ noServer: true }));
    server.on("upgrade", (request, socket, head) => {
      if (request.url !== THEIRS) return destroy(request);
      sockets.handleUpgrade(request, socket, head, (each) => sockets.emit("connection", each, request));
    });
    return THEIRS;
  });
}

/** The others who take upgrades of a server, as people use them. */
export const neighbours: Record<string, Neighbour> = {
  "ws with a path": {
    start: bare((server) => {
      echoing(new WebSocketServer({ server, path: THEIRS }));
      return THEIRS;
    }),
    ...echo,
  },
  "ws without a path": {
    start: bare((server) => {
      echoing(new WebSocketServer({ server }));
      return "/any";
    }),
    ...echo,
  },
  "ws with noServer, others destroyed": { start: elseDestroy(({ socket }) => socket.destroy()), ...echo },
  "ws with noServer, others destroyed later": {
    start: elseDestroy(({ socket }) => setImmediate(() => socket.destroy())),
    ...echo,
  },
  "Socket.IO": {
    start: bare((server) => {
      const sockets = new SocketIoServer(server, { destroyUpgradeTimeout: 20 });
      onTestFinished(() => void sockets.close());
      return "/socket.io/?EIO=4&transport=websocket";
    }),
    says: /"sid"/,
  },
  "express-ws": {
    start: bare((server) => {
      const { app } = expressWs(express(), server);
      app.ws(THEIRS, (socket) => socket.on("message", (data) => socket.send(String(data))));
      return THEIRS;
    }),
    ...echo,
  },
  "@fastify/websocket": {
    async start(before, after) {
      const app = fastify();
      before(app.server);
      await app.register(websocket);
      app.get(THEIRS, { websocket: true }, (socket) => {
        socket.on("message", (data: Buffer) => socket.send(String(data)));
      });
      await app.ready();
      after(app.server);
      return `${await listening(app.server)}${THEIRS}`;
    },
    ...echo,
  },
  "@hono/node-ws": {
    async start(before, after) {
      const app = new Hono();
      const { injectWebSocket, upgradeWebSocket } = createNodeWebSocket({ app });
      app.get(THEIRS, upgradeWebSocket(() => ({ onMessage: ({ data }, socket) => socket.send(String(data)) })));
      const server = createAdaptorServer({ fetch: app.fetch });
      before(server);
      injectWebSocket(server);
      after(server);
      return `${await listening(server as Server)}${THEIRS}`;
    },
    ...echo,
  },
  "http-proxy-middleware": {
    start: bare(async (server) => {
      const behind = createServer();
      echoing(new WebSocketServer({ server: behind }));
      const target = await listening(behind);
      const proxy = createProxyMiddleware({ target, ws: true, pathFilter: THEIRS });
      server.on("upgrade", proxy.upgrade);
      return THEIRS;
    }),
    ...echo,
  },
  "Vite's dev server": {
    start: bare(async (server) => {
      const vite = await createVite({
        ...{ configFile: false, envFile: false, appType: "custom", logLevel: "silent", optimizeDeps: { noDiscovery: true } },
        server: { middlewareMode: true, hmr: { server }, watch: null },
      });
      onTestFinished(() => vite.close());
      return `/?token=${vite.config.webSocketToken}`;
    }),
    protocol: "vite-hmr",
    says: /connected/,
  },
};
