/** Says after `npm ci` which Node and Deno run the project: those of its packages, whatever Node npm itself runs on. */
import { readFileSync } from "node:fs";
import process from "node:process";

const { devDependencies } = JSON.parse(readFileSync("package.json", "utf8")) as {
  devDependencies: { node: string; deno: string };
};
const { node, deno } = devDependencies;
const npmRunsOn = /node\/v(\S+)/.exec(process.env["npm_config_user_agent"] ?? "")?.[1] ?? "what it finds";
console.log(
  `npm runs on Node ${npmRunsOn}; npm start, npm test and the other scripts on Node ${node} and Deno ${deno} of node_modules`,
);
