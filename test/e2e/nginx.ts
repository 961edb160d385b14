import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { caCertificate, serverCertificate, serverKey } from "../transport/certificates.ts";
import { freePort, type ServerSite } from "./server-process.ts";

/** nginx in front of a site, by the configuration in deploy/ with nothing but ports and certificates changed. */
export interface Nginx extends AsyncDisposable {
  readonly grpcPort: number;
  readonly webPort: number;
  readonly caFile: string;
}

const example = join(import.meta.dirname, "../../deploy/nginx.conf");

export async function startNginx(program: string, site: ServerSite): Promise<Nginx> {
  const directory = await mkdtemp(join(site.root, "nginx-"));
  const [grpcPort, webPort] = [await freePort(), await freePort()];
  const file = (name: string): string => join(directory, name);
  await writeFile(file("ca.pem"), caCertificate);
  await writeFile(file("retake.pem"), serverCertificate);
  await writeFile(file("retake.key"), serverKey);
  const changes = [
    ["127.0.0.1:50051", `127.0.0.1:${site.grpcPort}`],
    ["127.0.0.1:8080", `127.0.0.1:${site.webPort}`],
    ["listen 50443 ", `listen 127.0.0.1:${grpcPort} `],
    ["listen 443 ", `listen 127.0.0.1:${webPort} `],
    ["/etc/ssl/retake", file("retake")],
  ] as const;
  let sites = await readFile(example, "utf8");
  for (const [from, to] of changes) {
    if (!sites.includes(from)) throw new Error(`deploy/nginx.conf has no ${from}`);
    sites = sites.replaceAll(from, to);
  }
  await writeFile(file("site.conf"), sites);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (kind) => `${kind}_temp_path ${file(kind)};`,
  );
  await writeFile(
    file("nginx.conf"),
    `pid ${file("pid")};
worker_processes 1;
events {}
http {
  access_log off;
  ${temporary.join("\n  ")}
  include ${file("site.conf")};
}
`,
  );
  // One process in the foreground: it leaves no worker behind when it is killed.
  const flags = "daemon off; master_process off;";
  const child = spawn(program, ["-e", "stderr", "-c", file("nginx.conf"), "-g", flags], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  process.on("exit", () => child.kill("SIGKILL"));
  let said = "";
  child.stderr?.on("data", (chunk) => {
    said += String(chunk);
  });
  for (const port of [grpcPort, webPort]) {
    while (!(await accepts(port))) {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`nginx ended:\n${said}`);
      await sleep(20);
    }
  }
  return { grpcPort, webPort, caFile: file("ca.pem"), [Symbol.asyncDispose]: () => stop(child) };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once("close", () => resolve());
    child.kill("SIGKILL");
  });
}
