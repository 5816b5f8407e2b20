import { expect, test } from "vitest";
import { CloseCode } from "../../src/protocol/codes.ts";
import { judgeDelivery } from "./delivery.ts";
import { Script } from "./script.ts";

/** A phone shows a message, is signed out a second later, and begins at the log's beginning when it comes again. */
function signedOut(lead: (script: Script) => Script): string[] {
  const script = lead(new Script().at(0).opens("phone").at(1_000).message("m", ["phone"]));
  script.at(50_000).acks("phone", 1, 1);
  const of = { user: "sara", device: "phone", connection: 1 };
  script.lines.push({ at: 51_000, what: "closed", ...of, ending: "node", code: CloseCode.signedOut });
  script.at(60_000).opens("phone");
  return judgeDelivery(script.lines, [], 70_000);
}

test("who signs in again goes on behind what was shown", () => {
  expect(signedOut((script) => script)).toEqual(["phone began at 0 of sara/default at 60000, 1 had been shown"]);
});

test("what is shown over a connection that asked to be signed out, and heard that it may not be, need not count", () => {
  expect(signedOut((script) => script.asks("phone", { type: "logout", ref: 0 }, true))).toEqual([]);
});
