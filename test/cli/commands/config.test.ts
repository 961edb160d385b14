import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { temporaryDirectory } from "../../runs/sqlite/temporary-directory.ts";
import { retake } from "../harness.ts";

function fileWith(yaml: string): string {
  const file = join(temporaryDirectory(), "retake.yaml");
  writeFileSync(file, yaml);
  return file;
}

const secret = "Planted0123456789secret";
const other = "5f2c8d";
const yaml = `
data_directory: /var/lib/retake
web: { port: 9090 }
webhooks: { secrets: [{ environment: WEBHOOK_SECRET }], allowed_urls: ["https://hooks.example/"] }
workflows: { shop.v1.Shop/Buy: { notify: { url: "https://hooks.example/B0/${other}" } } }
monitoring:
  notifiers:
    - { name: hook, webhook: { url: "https://hooks.example/T0/${secret}" } }
    - { name: other, pagerduty: { routing_key: { file: key }, url: "https://page.example/?sig=${other}" } }
    - { name: page, pagerduty: { routing_key: { file: key }, url: "https://page.example/?api_key=${secret}" } }
`;

describe("retake config", () => {
  it("prints a configuration with its defaults, which is one again", async () => {
    const file = fileWith(yaml.replace(/\\?.api_key=.*"/, '"'));
    const { exitCode, stdout, stderr } = await retake(["config", "-c", file]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(parse(stdout)).toMatchObject({
      data_directory: "/var/lib/retake",
      grpc: { host: "127.0.0.1", port: 50_051, limits: { max_connection_age: "3600s" } },
      web: { host: "127.0.0.1", port: 9090 },
      webhooks: { secrets: [{ environment: "WEBHOOK_SECRET" }] },
      security: { anonymous_level: "ACCESS_LEVEL_PUBLIC", lockout: { initial_delay: "0.250s" } },
    });
    const again = await retake([
      "config",
      "--json",
      "-c",
      fileWith(stdout.replaceAll(/(?<![?])\[redacted\]/g, "https://a.example/")),
    ]);
    expect(again.exitCode).toBe(0);
    expect(JSON.parse(again.stdout)).toEqual(parse(stdout));
    expect(again.stderr).toBe("");
  });

  it("prints nothing that is secret", async () => {
    const printed = [
      await retake(["config", "-c", fileWith(yaml)]),
      await retake(["config", "--json", "-c", fileWith(yaml)]),
    ];
    for (const { exitCode, stdout } of printed) {
      expect(exitCode).toBe(0);
      expect(stdout).toContain("[redacted]");
      expect(stdout).not.toContain(secret);
      expect(stdout).not.toContain(other);
      expect(stdout).toContain("https://page.example/?[redacted]");
    }
  });

  it("says what is wrong with one that cannot be used", async () => {
    const { exitCode, stdout, stderr } = await retake(["config", "-c", fileWith("web: { prot: 1 }")]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toContain('Did you mean "port"?');
  });

  it.each([
    ["disabled_rules: [RetakeSlowRun]", /monitoring\.disabled_rules\[0\].*Did you mean "RetakeSlowRuns"\?/],
    ["rules: [{ name: Deep, queries: { x: { metric: x } }, warning: { at: 1, clear: 2 } }]", /monitoring\.rules\[0\]/],
    ["slos: [{ workflow: a.v1.B/C, latency: { threshold: 3s, objective: 0.9 } }]", /not counted by 3s/],
  ])("says what a server would not take of its alerts: %s", async (monitoring, problem) => {
    const { exitCode, stdout, stderr } = await retake(["config", "-c", fileWith(`monitoring: { ${monitoring} }`)]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toMatch(problem);
  });
});
