#!/usr/bin/env node
/** `npx peyk …`: what is needed once, before there is a server. */
import process from "node:process";
import { vapidPair } from "./vapid_pair.ts";

const usage = `peyk vapid          a new VAPID pair for Web Push, as lines of an .env file
peyk vapid --json   the same as JSON
`;

const [command, option, ...rest] = process.argv.slice(2);
if (command === "vapid" && (option === undefined || option === "--json") && rest.length === 0) {
  const { publicKey, privateKey } = vapidPair();
  const lines = `VAPID_PUBLIC_KEY=${publicKey}\nVAPID_PRIVATE_KEY=${privateKey}\n`;
  process.stdout.write(option === "--json" ? `${JSON.stringify({ publicKey, privateKey })}\n` : lines);
  process.stderr.write("Keep this pair, the second key in secret: subscriptions made with it are lost without it.\n");
} else {
  process.stderr.write(`Usage:\n${usage}`);
  process.exitCode = 1;
}
