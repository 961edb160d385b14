import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseDocument } from "yaml";
import { resolveConfig } from "../src/config/index.ts";
import { parseYamlConfig } from "../src/config/yaml-config.ts";

const read = (name: string) => readFileSync(join(import.meta.dirname, "../deploy", name), "utf8");

describe("the configurations in deploy/", () => {
  it("keep a machine's ports to itself, where nginx.conf expects them, and say nothing of plain text", () => {
    const { grpc, web, security } = resolveConfig(parseYamlConfig(read("retake.yaml"), "retake.yaml"));
    expect([grpc?.host, web?.host, security.allowPlaintext]).toEqual(["127.0.0.1", "127.0.0.1", false]);
    const nginx = read("nginx.conf");
    for (const front of [grpc, web]) expect(nginx).toContain(`server ${front?.host}:${front?.port};`);
    expect(nginx).toContain("proxy_set_header Host localhost;");
  });

  it("open them in a container, by a file that only images have", () => {
    const text = read("container.yaml");
    const { grpc, web, security } = resolveConfig(parseYamlConfig(text, "container.yaml"));
    expect([grpc?.host, web?.host, security.allowPlaintext]).toEqual(["0.0.0.0", "0.0.0.0", true]);
    expect(read("Dockerfile")).toContain("COPY deploy/container.yaml /etc/retake/retake.yaml");
    const [map = ""] = read("kubernetes.yaml").split("\n---\n");
    const inMap = (parseDocument(map).toJS() as { data: Record<string, string> }).data["retake.yaml"] ?? "";
    expect(parseYamlConfig(inMap, "kubernetes.yaml")).toEqual(parseYamlConfig(text, "container.yaml"));
  });
});
