import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { ConnectError, createClient } from "@connectrpc/connect";
import { credentials } from "@grpc/grpc-js";
import { expect, it, onTestFinished } from "vitest";
import { parse } from "yaml";
import { createGrpcTransport } from "../../src/transport/index.ts";
import { WorkloadService } from "../gen/retake/test/e2e/v1/workload_pb.js";
import { requireTool } from "../tools.ts";
import { startNginx } from "./nginx.ts";
import { createServerSite } from "./server-process.ts";

const single = `${WorkloadService.typeName}/Single`;

/** A way to a port of this machine that comes from another address of it. */
async function from(address: string, port: number): Promise<number> {
  const server = createServer((socket) => {
    const onward = connect({ port, host: "127.0.0.1", localAddress: address });
    for (const each of [socket, onward]) {
      each.on("error", () => undefined);
      onTestFinished(() => void each.destroy());
    }
    socket.pipe(onward).pipe(socket);
  }).listen(0, "127.0.0.1");
  onTestFinished(() => void server.close());
  await once(server, "listening");
  return (server.address() as { port: number }).port;
}

it("behind nginx, by the configurations in deploy/, clients are told apart and cannot say that they are others", async (context) => {
  const program = requireTool("nginx", context);
  const curl = requireTool("curl", context);
  const deployed = parse(await readFile(join(import.meta.dirname, "../../deploy/retake.yaml"), "utf8"));
  const rate_limits = [{ scope: ["RATE_LIMIT_SCOPE_SOURCE"], limit: 1, window: "3600s", workflows: [single] }];
  await using site = await createServerSite({
    config: { security: { anonymous_level: "ACCESS_LEVEL_ADMIN", ...deployed.security, rate_limits } },
  });
  await site.launch().ready;
  await using nginx = await startNginx(program, site);

  const web = async (address: string): Promise<string> => {
    const url = `https://localhost:${nginx.webPort}/${single}`;
    const json = ["--header", "content-type: application/json", "--data", '{"text":"here"}'];
    const forged = ["--header", "X-Forwarded-For: 203.0.113.9", "--header", "Forwarded: for=203.0.113.9"];
    const how = ["--silent", "--max-time", "30", "--cacert", nginx.caFile, "--interface", address];
    return (await promisify(execFile)(curl, [...how, ...json, ...forged, url])).stdout;
  };
  for (const address of ["127.0.0.7", "127.0.0.8"]) {
    expect(JSON.parse(await web(address))).toMatchObject({ text: "here" });
    expect(await web(address)).toContain(`too many calls of source:${address}:`);
  }

  const ca = await readFile(nginx.caFile);
  for (const address of ["127.0.0.9", "127.0.0.10"]) {
    const transport = createGrpcTransport({
      target: `localhost:${await from(address, nginx.grpcPort)}`,
      credentials: credentials.createSsl(ca),
    });
    onTestFinished(() => transport.close());
    const headers = { "x-forwarded-for": "203.0.113.9", forwarded: "for=203.0.113.9" };
    const call = () => createClient(WorkloadService, transport).single({ text: "here" }, { headers });
    expect(await call()).toMatchObject({ text: "here" });
    const refused = ConnectError.from(await call().catch((error: unknown) => error));
    expect(refused.message).toContain(`too many calls of source:${address}:`);
  }
});
