import { describe, expect, it } from "vitest";
import { AdminService } from "../../gen/retake/v1/admin_service_pb.js";
import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import { WorkflowsService } from "../gen/retake/test/v1/workflows_pb.js";
import { fetchWeb, type ListeningOptions, startListening } from "./listening-server.ts";

const createKey = `/${AdminService.typeName}/CreateApiKey`;
const plain = `/${WorkflowsService.typeName}/Plain`;

async function serving(config: ListeningOptions["config"] = {}) {
  const { webPort } = await startListening({}, { config });
  const ask = (headers: Record<string, string>, path = plain, body = "{}") =>
    fetchWeb(webPort, path, { headers: { "content-type": "application/json", ...headers }, body });
  const statusOf = async (headers: Record<string, string>) => (await ask(headers)).status;
  return { webPort, ask, statusOf };
}

describe("a web page whose name is made to point at the server", () => {
  it("gets neither a key nor anything else, whatever path it asks for", async () => {
    const { webPort, ask } = await serving();
    const evil = { host: `evil.example:${webPort}`, origin: `http://evil.example:${webPort}` };
    const made = JSON.stringify({ label: "evil", subject: "evil", level: "ACCESS_LEVEL_ADMIN" });
    const refused = await ask(evil, createKey, made);
    expect(refused.status).toBe(403);
    expect(refused.json).toMatchObject({
      code: "permission_denied",
      message: expect.stringContaining(`"evil.example:${webPort}"`),
    });
    for (const path of ["/metrics", "/healthz", "/artifacts/x", "/nothing"]) {
      const { status } = await fetchWeb(webPort, path, { method: "GET", headers: { host: evil.host } });
      expect(status, path).toBe(403);
    }
  });

  it("is refused where strangers are PUBLIC as well, and where the port is open to others with a raised level", async () => {
    const local = await serving({ security: { anonymousLevel: AccessLevel.PUBLIC } });
    expect(await local.statusOf({ host: "evil.example" })).toBe(403);
    const raised = await serving({ web: { host: "0.0.0.0" }, security: { allowPlaintext: true } });
    expect(await raised.statusOf({ host: "evil.example" })).toBe(403);
    const level = { anonymousLevel: AccessLevel.PUBLIC, allowPlaintext: true };
    const open = await serving({ web: { host: "0.0.0.0" }, security: level });
    expect(await open.statusOf({ host: "studio.example" })).not.toBe(403);
  });
});

describe("the names of the server", () => {
  it("are its addresses, localhost, and those of the configuration", async () => {
    const { webPort, statusOf } = await serving({ web: { allowedHosts: ["Retake.example"] } });
    const own = ["127.0.0.1", "192.0.2.7", "[::1]", "[2001:db8::7]", "localhost", "LOCALHOST", "retake.example"];
    for (const host of own) {
      expect(await statusOf({ host }), host).toBe(200);
      expect(await statusOf({ host: `${host}:${webPort}` }), host).toBe(200);
    }
    const others = [
      "localhost.evil.example",
      "127.0.0.1.evil.example",
      "[evil.example]",
      "a.retake.example",
      "a:b:c",
      ":",
    ];
    for (const host of others) expect(await statusOf({ host }), host).toBe(403);
  });

  it("are those of its own pages; others have to be allowed", async () => {
    const { webPort, statusOf } = await serving({ web: { allowedOrigins: ["https://studio.example"] } });
    const host = `localhost:${webPort}`;
    for (const origin of [`http://${host}`, "https://studio.example"]) {
      expect(await statusOf({ host, origin }), origin).toBe(200);
    }
    for (const origin of ["http://localhost", `http://127.0.0.1:${webPort}`, "https://evil.example", "null", ""]) {
      expect(await statusOf({ host, origin }), origin).toBe(403);
    }
    expect(await statusOf({ host: "evil.example", origin: "https://studio.example" })).toBe(403);
  });
});
