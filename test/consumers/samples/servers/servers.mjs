/** What people have their HTTP server from, each with an engine and a client that gets a message over it. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import * as http from "node:http";
import * as http2 from "node:http2";
import * as https from "node:https";
import { serve } from "@hono/node-server";
import express from "express";
import { fastify } from "fastify";
import { Hono } from "hono";
import Koa from "koa";
import { createEngine } from "peyk";
import { connect } from "peyk/client";
import { serveNode } from "peyk/node";

const tls = { key: readFileSync("key.pem"), cert: readFileSync("certificate.pem") };
const here = { port: 0, hostname: "127.0.0.1" };

/** @typedef {import("peyk").Engine} Engine */
/** Each serves the engine, listens, and returns its server. */
const servers = {
  "node:http"(/** @type {Engine} */ engine) {
    const server = http.createServer();
    serveNode(engine, server);
    return server.listen(here.port, here.hostname);
  },
  "node:https"(/** @type {Engine} */ engine) {
    const server = https.createServer(tls);
    serveNode(engine, server);
    return server.listen(here.port, here.hostname);
  },
  "node:http2"(/** @type {Engine} */ engine) {
    const server = http2.createSecureServer({ ...tls, allowHTTP1: true });
    serveNode(engine, server);
    return server.listen(here.port, here.hostname);
  },
  hono(/** @type {Engine} */ engine) {
    const server = serve({ fetch: new Hono().fetch, ...here });
    serveNode(engine, server);
    return server;
  },
  express(/** @type {Engine} */ engine) {
    const server = express().listen(here.port, here.hostname);
    serveNode(engine, server);
    return server;
  },
  async fastify(/** @type {Engine} */ engine) {
    const app = fastify();
    serveNode(engine, app.server);
    await app.listen({ port: here.port, host: here.hostname });
    return app.server;
  },
  koa(/** @type {Engine} */ engine) {
    const server = new Koa().listen(here.port, here.hostname);
    serveNode(engine, server);
    return server;
  },
};

for (const [name, start] of Object.entries(servers)) {
  const engine = await createEngine({ authenticate: ({ token }) => token === "sara-signs-in" ? { userId: "sara" } : null });
  const server = await start(engine);
  if (!server.listening) await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const sara = connect(`${name === "node:https" || name === "node:http2" ? "wss" : "ws"}://localhost:${port}/peyk`, {
    token: "sara-signs-in",
  });
  const arrived = new Promise((resolve) => sara.onMessage(resolve));
  await engine.publish({ to: "sara", content: "Hello world" });
  const { content } = await arrived;
  console.log(`${name}: sara got: ${content}`);
  await sara.close();
  await engine.close();
  server.close();
}
