import { connect, type Status } from "peyk/client";
import { NEWS, people, personOf } from "../people.ts";
import { make, part } from "./dom.ts";
import { lineOf } from "./installation.ts";
import { clock } from "./words.ts";

const me = personOf(new URLSearchParams(location.search).get("solo") ?? "") ?? people[0]!;
document.title = `${me.name}: Peyk`;
part(document, "#who").textContent = me.name;

// The line is for the demo's log, and keeps apart the people that this browser plays. All else is the client's own default.
const peyk = connect(`/peyk?line=${encodeURIComponent(lineOf(me.id, "app tab"))}`, { token: me.id });

peyk.onStatus((status) => {
  const output = part(document, "#status");
  output.dataset.status = status.state;
  output.textContent = inWords(status);
});

peyk.onMessage((message) => {
  const { id, from, to, content, sentAt } = message;
  const item = make("li", "bubble", content ?? "");
  item.dataset.id = id;
  item.dataset.public = String(to === "*");
  const sender = from === undefined ? "" : `${personOf(from)?.name ?? from}, `;
  item.append(make("small", "", to === "*" ? `${sender}${NEWS}, ${clock(sentAt)}` : `${sender}${clock(sentAt)}`));
  part(document, "#inbox").append(item);
  item.scrollIntoView({ block: "end" });
});

const form = part(document, "#reply") as HTMLFormElement;
for (const { id, name } of people) if (id !== me.id) part(form, "select").append(new Option(name, id));
part(form, "select").append(new Option(`Everyone (${NEWS})`, "*"));
form.onsubmit = async (event) => {
  event.preventDefault();
  const fields = new FormData(form);
  const to = String(fields.get("to"));
  form.reset();
  try {
    await peyk.publish({ to, channel: to === "*" ? NEWS : "default", content: String(fields.get("content")) });
  } catch (error) {
    part(document, ".problem").textContent = error instanceof Error ? error.message : String(error);
  }
};

function inWords(status: Status): string {
  switch (status.state) {
    case "connecting":
      return "connecting";
    case "connected":
      return "connected";
    case "waiting":
      return `not connected, tries again at ${clock(status.retryAt)}`;
    case "closed":
      return `closed${status.reason === undefined ? "" : `: ${status.hint ?? status.reason}`}`;
  }
}
