import { createServer, type IncomingMessage } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { onTestFinished } from "vitest";

/** What a proxy changes in a request's headers, by name; undefined takes one out. */
export type Changed = (request: IncomingMessage) => Record<string, string | undefined>;

/** A reverse proxy of a few lines, as node:http makes them: hands upgrades on with changed headers. Gives its port. */
export async function hop(to: number, changed: Changed): Promise<number> {
  const server = createServer();
  server.on("upgrade", (request, socket, head) => {
    const headers: Record<string, unknown> = { ...request.headers, ...changed(request) };
    const lines = Object.entries(headers).filter(([, value]) => value !== undefined).map(([name, value]) => `${name}: ${value}`);
    const onward = connect({ port: to, host: "127.0.0.1" });
    for (const [one, other] of [[socket, onward], [onward, socket]] as const) {
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
    }
    onward.write([`${request.method} ${request.url} HTTP/1.1`, ...lines, "", ""].join("\r\n"));
    onward.write(head);
    onward.pipe(socket).pipe(onward);
    onTestFinished(() => void onward.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}
