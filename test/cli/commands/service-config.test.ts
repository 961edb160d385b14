import { describe, expect, it } from "vitest";
import { retake, startServer } from "../harness.ts";
import { contract, directoryWith } from "../projects.ts";

const keyed = { service: "retake.test.v1.WorkflowsService", method: "Keyed" };

describe("retake service-config", () => {
  it("lets clients of a server retry its keyed workflows, and no others", async () => {
    await using server = await startServer();
    const { exitCode, stdout, stderr } = await retake(["service-config"], { env: server.env });
    expect(exitCode).toBe(0);
    const { methodConfig } = JSON.parse(stdout) as { methodConfig: { name: object[]; retryPolicy: object }[] };
    expect(methodConfig).toHaveLength(1);
    expect(methodConfig[0]?.name).toContainEqual(keyed);
    expect(methodConfig[0]?.name).not.toContainEqual({ ...keyed, method: "Plain" });
    expect(methodConfig[0]?.retryPolicy).toMatchObject({ maxAttempts: 5, retryableStatusCodes: ["UNAVAILABLE"] });
    expect(stderr).toContain("WorkflowsService/Plain: left out");
    expect(stderr).toMatch(/WorkflowsService\/Keyed: set \w+ in each request/);
  });

  it("says the same of the contracts, on one line for programs", async () => {
    await using server = await startServer();
    const ofServer = await retake(["service-config", "--json"], { env: server.env });
    const ofContracts = await retake(["service-config", "--json", "--contracts", "test/proto"]);
    const named = ({ stdout }: { stdout: string }) =>
      JSON.parse(stdout).methodConfig[0].name.filter(({ service }: { service: string }) => service === keyed.service);
    expect(named(ofServer)).toEqual(named(ofContracts));
    expect(ofContracts.stdout.trim().split("\n")).toHaveLength(1);
  });

  it("is empty where no workflow has a key", async () => {
    const source = contract(
      "service S {\n  rpc M(E) returns (E) {\n    option (retake.v1.workflow) = {};\n  }\n}\nmessage E {}",
    );
    const { stdout } = await retake(["service-config", "--contracts", await directoryWith({ "s.proto": source })]);
    expect(JSON.parse(stdout)).toEqual({ methodConfig: [] });
  });

  it("says what to do with contracts that do not compile, and without reflection", async () => {
    const broken = await directoryWith({ "s.proto": "nonsense" });
    const { exitCode, stderr } = await retake(["service-config", "--contracts", broken]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(`retake lint ${broken}`);
    await using server = await startServer({}, { reflection: false });
    const without = await retake(["service-config"], { env: server.env });
    expect(without.exitCode).toBe(6);
    expect(without.stderr).toContain("--contracts PATH");
  });
});
