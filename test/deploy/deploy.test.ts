import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { ServerConfigSchema } from "../../gen/retake/v1/config_pb.js";
import { parseConfig, resolveConfig } from "../../src/config/index.ts";
import { temporaryDirectory } from "../runs/sqlite/temporary-directory.ts";

const root = join(import.meta.dirname, "..", "..");
const read = (file: string): string => readFileSync(join(root, "deploy", file), "utf8");
const defaults = resolveConfig(create(ServerConfigSchema));
const ports = { grpc: defaults.grpc?.port, web: defaults.web?.port };
const configFile = "/etc/retake/retake.yaml";

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
}

const configOf = async (text: string) => resolveConfig(await parseConfig(text, "retake.yaml"));

describe("the configuration of a machine", () => {
  it("keeps the default ports to the machine, where nginx.conf expects them, and says nothing of plain text", async () => {
    const config = await configOf(read("retake.yaml"));
    expect(config).toMatchObject({
      dataDirectory: "/var/lib/retake",
      grpc: { host: "127.0.0.1", port: ports.grpc },
      web: { host: "127.0.0.1", port: ports.web },
      security: { allowPlaintext: false, proxies: { trusted: ["127.0.0.1", "::1"], header: "x-forwarded-for" } },
    });
    const nginx = read("nginx.conf");
    for (const port of [ports.grpc, ports.web]) expect(nginx).toContain(`server 127.0.0.1:${port};`);
    expect(nginx).toContain("proxy_set_header Host localhost;");
    for (const way of ["grpc", "proxy"]) expect(nginx).toContain(`${way}_set_header X-Forwarded-For $remote_addr;`);
  });
});

describe("the configuration of containers", () => {
  it("opens the default ports, in as many words, with the data where the others expect it", async () => {
    const text = read("container.yaml");
    expect(await configOf(text)).toMatchObject({
      dataDirectory: "/var/lib/retake",
      grpc: { host: "0.0.0.0", port: ports.grpc },
      web: { host: "0.0.0.0", port: ports.web },
      security: { allowPlaintext: true },
    });
    const silent = await configOf(text.replace(/^security:.*$/m, "")).catch((error: unknown) => error);
    expect(String(silent)).toContain('grpc.host: "0.0.0.0" is reached by other machines');
    expect(read("Dockerfile")).toContain(`COPY deploy/container.yaml ${configFile}`);
  });
});

describe("the systemd unit", () => {
  const unit = read("retake.service");
  const found = spawnSync("systemd-analyze", ["--version"]).status === 0;

  it.runIf(found)("is one", () => {
    const path = join(temporaryDirectory(), "retake.service");
    // The program is not installed here.
    writeFileSync(path, unit.replace("/usr/bin/retake", process.execPath));
    const { status, stderr } = spawnSync("systemd-analyze", ["verify", path], { encoding: "utf8" });
    const own = stderr.split("\n").filter((line) => line.includes("retake.service"));
    expect([status === 0 ? "" : stderr, own]).toEqual(["", []]);
  });

  it("gives a drain its time, and the server its configuration and directory", () => {
    expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1]) * 1000).toBeGreaterThan(defaults.drainTimeoutMs);
    expect(unit).toContain(`ExecStart=/usr/bin/retake serve --json --config ${configFile} `);
    expect(unit).toMatch(/^StateDirectory=retake$/m);
  });
});

describe("the Dockerfile", () => {
  const instructions = read("Dockerfile")
    .replaceAll("\\\n", " ")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => /^(?<name>[A-Z]+)\s+(?<rest>.*)$/.exec(line)?.groups ?? { name: line, rest: "" });
  const of = (name: string) => instructions.filter((each) => each["name"] === name).map((each) => each["rest"] ?? "");

  it("copies what is there, and what git knows", () => {
    const sources = of("COPY")
      .filter((rest) => !rest.startsWith("--from="))
      .flatMap((rest) => rest.split(/\s+/).slice(0, -1));
    expect(sources.length).toBeGreaterThan(5);
    for (const source of sources) {
      const known = execFileSync("git", ["ls-files", source], { cwd: root, encoding: "utf8" }) !== "";
      expect([source, existsSync(join(root, source)), known]).toEqual([source, true, true]);
    }
  });

  it("brings all that the package needs to run", () => {
    const copied = of("COPY")
      .filter((rest) => rest.startsWith("--from=build"))
      .join("\n");
    const { files } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { files: string[] };
    for (const name of [...files, "package.json", "node_modules"]) expect(copied).toContain(`/build/${name} `);
  });

  it("exposes the default ports, and starts the command line in the way that takes signals", () => {
    expect(of("EXPOSE")).toEqual([`${ports.grpc} ${ports.web}`]);
    const { bin } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { bin: { retake: string } };
    expect(JSON.parse(of("ENTRYPOINT")[0] ?? "")).toEqual(["node", join("/opt/retake", bin.retake)]);
    expect(JSON.parse(of("CMD")[0] ?? "")).toEqual(["serve", "--json", "--config", configFile]);
    expect(of("HEALTHCHECK")[0]).toContain(`http://127.0.0.1:${ports.web}/healthz`);
    expect(of("USER")).toEqual(["node"]);
  });
});

describe("the Kubernetes manifest", () => {
  const documents = parseAllDocuments(read("kubernetes.yaml"));
  const [configMap, service, set] = documents.map((document) => document.toJS());
  const { spec } = set.spec.template;
  const [container] = spec.containers;

  it("is YAML of the three kinds", () => {
    expect(documents.flatMap(({ errors, warnings }) => [...errors, ...warnings])).toEqual([]);
    expect([configMap.kind, service.kind, set.kind]).toEqual(["ConfigMap", "Service", "StatefulSet"]);
  });

  it("has the configuration of containers, where the server looks for it", async () => {
    expect(await configOf(configMap.data["retake.yaml"])).toEqual(await configOf(read("container.yaml")));
    expect(container.args).toEqual(["serve", "--json", "--config", configFile]);
    expect(container.volumeMounts.map(({ mountPath }: { mountPath: string }) => mountPath)).toEqual([
      "/var/lib/retake",
      "/etc/retake",
    ]);
    expect(spec.volumes[0].configMap.name).toBe(configMap.metadata.name);
  });

  it("names the default ports, and probes what the server answers there", () => {
    expect(container.ports).toEqual([
      { name: "grpc", containerPort: ports.grpc },
      { name: "web", containerPort: ports.web },
    ]);
    expect(service.spec.ports).toMatchObject([
      { name: "grpc", port: ports.grpc },
      { name: "web", port: ports.web },
    ]);
    const probe = ({ httpGet: { path, port } }: Probe): string => `${port} ${path}`;
    expect(probe(container.startupProbe)).toBe("web /healthz");
    expect(probe(container.livenessProbe)).toBe("web /healthz");
    expect(probe(container.readinessProbe)).toBe("web /readyz");
  });

  it("runs one server, finds it by its labels, and gives a drain its time", () => {
    expect(set.spec.replicas).toBe(1);
    expect(set.spec.selector.matchLabels).toEqual(set.spec.template.metadata.labels);
    expect(service.spec.selector).toEqual(set.spec.template.metadata.labels);
    expect(spec.terminationGracePeriodSeconds * 1000).toBeGreaterThan(defaults.drainTimeoutMs);
  });
});
