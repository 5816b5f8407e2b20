import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { onTestFinished } from "vitest";
import { Page } from "../packaging/markdown.ts";
import { certificate, key } from "../tls/certificate.ts";
import { type Program, programOf, type ProxyName } from "./proxies.ts";

/** Texts of a configuration and what stands in their place in a test. Each has to be there. */
export type Changes = Readonly<Record<string, string>>;

/** A proxy that runs. */
export interface Proxy {
  /** Where it serves TLS, on this machine alone. */
  readonly port: number;
  /** Makes it read its configuration again, changed. */
  reload(changes?: Changes): Promise<void>;
}

/** Where a proxy and what belongs to it live during a test. */
interface Place {
  readonly folder: string;
  readonly port: number;
  /** For what a proxy listens on besides. */
  readonly spare: number;
  /** The engine's. */
  readonly to: number;
}

/** What differs from proxy to proxy. */
interface Kind {
  /** The language of its block in docs/operations.md. */
  readonly language: string;
  /** From the block to what runs in a test: its address, its certificate, its files. */
  readonly changes: (place: Place) => Changes;
  readonly run: (file: string, place: Place) => string[];
  readonly reload: (pid: number, program: Program, file: string, place: Place) => Promise<void>;
}

const kinds: Readonly<Record<ProxyName, Kind>> = {
  nginx: {
    language: "nginx",
    changes: ({ folder, port, to }) => ({
      "listen 443 ssl;": `listen 127.0.0.1:${port} ssl;`,
      "/etc/ssl/example.org.pem": join(folder, "certificate.pem"),
      "/etc/ssl/example.org.key": join(folder, "certificate.pem"),
      "127.0.0.1:8080": `127.0.0.1:${to}`,
      "worker_rlimit_nofile 65536;": "",
      "worker_connections 30000;": "worker_connections 512;",
      "http {": [
        "http {",
        "access_log off;",
        ...["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${join(folder, kind)};`),
      ].join("\n"),
    }),
    run(file, { folder }) {
      // Workers that are not root could not enter the folder.
      const user = process.getuid?.() === 0 ? "user root;" : "";
      return ["-e", "stderr", "-c", file, "-g", `daemon off; pid ${join(folder, "pid")}; ${user}`];
    },
    reload: (pid) => Promise.resolve(void process.kill(pid, "SIGHUP")),
  },
  haproxy: {
    language: "haproxy",
    changes: ({ folder, port, to }) => ({
      "bind :443 ssl crt /etc/haproxy/example.org.pem": `bind 127.0.0.1:${port} ssl crt ${join(folder, "certificate.pem")}`,
      "127.0.0.1:8080": `127.0.0.1:${to}`,
      "maxconn 30000": "maxconn 100",
    }),
    run: (file) => ["-W", "-f", file],
    reload: (pid) => Promise.resolve(void process.kill(pid, "SIGUSR2")),
  },
  caddy: {
    language: "caddyfile",
    changes: ({ folder, port, spare, to }) => ({
      "example.org {": [
        "{",
        `admin 127.0.0.1:${spare}`,
        "auto_https disable_redirects",
        "}",
        `https://localhost:${port} {`,
        "bind 127.0.0.1",
        `tls ${join(folder, "certificate.pem")} ${join(folder, "certificate.pem")}`,
      ].join("\n"),
      "127.0.0.1:8080": `127.0.0.1:${to}`,
    }),
    run: (file) => ["run", "--config", file, "--adapter", "caddyfile"],
    async reload(_pid, program, file, { folder, spare }) {
      const command = ["reload", "--config", file, "--adapter", "caddyfile", "--address", `127.0.0.1:${spare}`];
      await once(spawn(program.path, command, { env: environment(program, folder), stdio: "ignore" }), "exit");
    },
  },
};

/** Starts a proxy with its block of docs/operations.md in front of a port. It ends with the test. */
export async function startProxy(name: ProxyName, to: number, changes: Changes = {}): Promise<Proxy> {
  const folder = mkdtempSync(join(tmpdir(), `peyk-${name}-`));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const [program, kind] = [programOf(name), kinds[name]];
  const place = { folder, port: await freePort(), spare: await freePort(), to };
  const [block] = new Page("docs/operations.md").blocks(kind.language);
  const file = join(folder, "config");
  const write = (changes: Changes): void => writeFileSync(file, changed(changed(block!, changes), kind.changes(place)));
  writeFileSync(join(folder, "certificate.pem"), certificate + key);
  write(changes);

  const child = spawn(program.path, kind.run(file, place), {
    env: environment(program, folder),
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const output of [child.stdout, child.stderr]) output.on("data", (chunk) => void (said += chunk));
  const ended = once(child, "exit");
  onTestFinished(async () => {
    // Not child.kill(), which on Deno does nothing more once the process got a signal. None of the three waits for its connections.
    if (child.exitCode === null) process.kill(child.pid!, "SIGTERM");
    await ended;
  });
  await Promise.race([
    listening(place.port),
    ended.then(() => {
      throw new Error(`${name} ended: ${said}`);
    }),
  ]);
  return {
    port: place.port,
    async reload(changes = {}) {
      write(changes);
      await kind.reload(child.pid!, program, file, place);
    },
  };
}

function changed(text: string, changes: Changes): string {
  for (const [from, to] of Object.entries(changes)) {
    if (!text.includes(from)) throw new Error(`docs/operations.md has no "${from}"`);
    text = text.replaceAll(from, to);
  }
  return `${text}\n`;
}

function environment({ libraries }: Program, folder: string): Record<string, string | undefined> {
  return { ...process.env, LD_LIBRARY_PATH: libraries, HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function listening(port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, "127.0.0.1");
    const isOpen = await Promise.race([once(socket, "connect").then(() => true), once(socket, "close").then(() => false)]).catch(
      () => false,
    );
    socket.destroy();
    if (isOpen) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
