import { create, fromJson, toJson } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ServerConfigSchema } from "../../gen/retake/v1/config_pb.js";
import { OnInterrupt, WorkflowPolicySchema } from "../../gen/retake/v1/options_pb.js";
import { ConfigError } from "../../src/config/config-error.ts";
import { parseYamlConfig } from "../../src/config/yaml-config.ts";

function messageOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error("nothing was thrown");
}

const parse = (yaml: string) => parseYamlConfig(yaml, "retake.yaml");
const complaint = (yaml: string) => messageOf(() => parse(yaml));

const full = `
# A comment.
data_directory: /var/lib/retake
grpc:
  host: 0.0.0.0
  port: 50052
  tls: {certificate_file: a.pem, key_file: b.pem, client_ca_file: c.pem}
  limits:
    max_streams_per_connection: 10
    maxConnections: 20
    max_connection_age: 1.5s
  reflection: false
web:
  disabled: true
  allowed_origins:
    - https://studio.example
    - "http://localhost:3000"
workflows:
  storycore.video.v1.VideoService/TextToVideo:
    on_interrupt: ON_INTERRUPT_FAIL
    retry: { maxAttempts: 2, retryable_status_codes: [UNAVAILABLE, ABORTED] }
  "storycore.video.v1.VideoService/Upscale": {}
backends:
  - service: storycore.video.v1.VideoService
    endpoints: [{ target: "dns:///gpu-pool:50061", slots: 2 }, { target: in-process }]
concurrency_limit: 7
retention:
  succeeded: 86400s
drain_timeout: 0s
log:
  level: debug
`;

describe("parseYamlConfig", () => {
  it("reads the JSON form of a ServerConfig, in either spelling of its keys", () => {
    expect(parse(full)).toEqual(
      create(ServerConfigSchema, {
        dataDirectory: "/var/lib/retake",
        grpc: {
          host: "0.0.0.0",
          port: 50_052,
          tls: { certificateFile: "a.pem", keyFile: "b.pem", clientCaFile: "c.pem" },
          limits: {
            maxStreamsPerConnection: 10,
            maxConnections: 20,
            maxConnectionAge: { seconds: 1n, nanos: 500_000_000 },
          },
          reflection: false,
        },
        web: { disabled: true, allowedOrigins: ["https://studio.example", "http://localhost:3000"] },
        workflows: {
          "storycore.video.v1.VideoService/TextToVideo": {
            onInterrupt: OnInterrupt.FAIL,
            retry: { maxAttempts: 2, retryableStatusCodes: ["UNAVAILABLE", "ABORTED"] },
          },
          "storycore.video.v1.VideoService/Upscale": {},
        },
        backends: [
          {
            service: "storycore.video.v1.VideoService",
            endpoints: [{ target: "dns:///gpu-pool:50061", slots: 2 }, { target: "in-process" }],
          },
        ],
        concurrencyLimit: 7,
        retention: { succeeded: { seconds: 86_400n } },
        drainTimeout: {},
        log: { level: "debug" },
      }),
    );
  });

  it("takes what a policy is given as nothing for what is to be cleared", () => {
    const policyOf = (yaml: string) => parse(`workflows: { a.B/C: ${yaml} }`).workflows["a.B/C"];
    expect(
      policyOf(
        "{ fallbacks: [], retry: { lowerQuality: false, max_attempts: 2 }, recovery: { rules: [] }, " +
          'access: { condition: "", groups: [film] }, on_interrupt: ON_INTERRUPT_UNSPECIFIED, clear: [timeout, fallbacks] }',
      ),
    ).toEqual(
      create(WorkflowPolicySchema, {
        clear: [
          ...["timeout", "fallbacks", "retry.lower_quality", "recovery.rules", "access.condition", "on_interrupt"],
        ],
        ...{ retry: { maxAttempts: 2 }, recovery: {}, access: { groups: ["film"] } },
      }),
    );
  });

  it("clears nothing of what is replaced as a whole, of what can be set to nothing, nor of other messages", () => {
    const config = parse(
      "backends: []\nworkflows: { a.B/C: { recovery: { rules: [{ action: RECOVERY_ACTION_RESTART, categories: [] }] }, " +
        'concurrency: { queue_limit: 0 }, notify: { url: "" }, caller_grace: 0s, clear: [] } }',
    );
    expect(config.workflows["a.B/C"]?.clear).toEqual([]);
    expect(config).not.toHaveProperty("clear");
  });

  it("reads what protobuf writes as JSON", () => {
    const config = parse(full);
    const json = JSON.stringify(toJson(ServerConfigSchema, config));
    expect(parse(json)).toEqual(config);
    expect(fromJson(ServerConfigSchema, JSON.parse(json))).toEqual(config);
  });

  it.each(["", "# nothing but a comment\n", "---\n", "{}", "null", "\uFEFF"])(
    "takes %j for the empty configuration",
    (yaml) => {
      expect(parse(yaml)).toEqual(create(ServerConfigSchema));
    },
  );

  it("takes a key without a value for one that is not there", () => {
    expect(parse("grpc:\nweb:\n  port:\nbackends:\nlog: ~\n")).toEqual(create(ServerConfigSchema, { web: {} }));
  });

  it("follows anchors, and merges what is asked for", () => {
    const config = parse(`
grpc: &front {host: "::1", port: 1}
web:
  <<: *front
  port: 2
  limits: &limits {max_connections: 3}
backends:
  - &first
    service: a.B
    endpoints: &endpoints [{target: in-process}]
  - {<<: [*first], service: a.C}
`);
    expect(config.web).toMatchObject({ host: "::1", port: 2, limits: { maxConnections: 3 } });
    expect(config.backends.map(({ service, endpoints }) => [service, endpoints[0]?.target])).toEqual([
      ["a.B", "in-process"],
      ["a.C", "in-process"],
    ]);
  });

  describe("names the line and the column of", () => {
    it.each<[what: string, yaml: string, expected: string]>([
      ["an unknown key", "grcp: {}", '1:1: unknown key "grcp". Did you mean "grpc"?'],
      ["a nested one", "grpc:\n  host: a\n  prot: 5\n", '3:3: grpc: unknown key "prot". Did you mean "port"?'],
      ["one that is like no other", "log:\n  colour: true", '2:3: log: unknown key "colour". The keys here are: level'],
      [
        "one deep in a list",
        "backends:\n  - service: a.B\n    endpoints:\n      - targt: x",
        '4:9: backends[0].endpoints[0]: unknown key "targt". Did you mean "target"?',
      ],
      [
        "one in a map",
        "workflows:\n  a.B/C: {retri: {}}",
        '2:11: workflows["a.B/C"]: unknown key "retri". Did you mean "retry"?',
      ],
      ["a key that is given twice", "web: {}\ngrpc: {}\nweb: {}", "3:1: this key is given twice; keep one of them"],
      [
        "a key that is given in both spellings",
        "drain_timeout: 1s\ndrainTimeout: 2s",
        '2:1: "drain_timeout" and "drainTimeout" are the same key; keep one of them',
      ],
      ["a key that is no text", "? [a, b]\n: 1", "1:3: has a key that is no plain text"],
      ["a list in place of a message", "grpc: [1]", "1:7: grpc: must be a mapping, not a list"],
      ["text in place of a message", "grpc: on", '1:7: grpc: must be a mapping, not "on"'],
      ["a message in place of a list", "backends: {a: 1}", "1:11: backends: must be a list, not a mapping"],
      ["a list in place of a map", "workflows: []", "1:12: workflows: must be a mapping, not a list"],
      ["a list in place of a value", "grpc: {port: [1]}", "1:14: grpc.port: must be a whole number, not a list"],
      ["text in place of a number", "grpc: {port: http}", '1:14: grpc.port: must be a whole number, not "http"'],
      [
        "a fraction in place of a whole number",
        "grpc: {port: 1.5}",
        '1:14: grpc.port: must be a whole number, not "1.5"',
      ],
      [
        "a number that is too long",
        "grpc: {port: 99999999999}",
        '1:14: grpc.port: must be a whole number, not "99999999999"',
      ],
      [
        "no number in place of one",
        "workflows: {a.B/C: {retry: {backoff_multiplier: .nan}}}",
        '1:49: workflows["a.B/C"].retry.backoff_multiplier: must be a number, not ".nan"',
      ],
      ["text in place of true", "web: {disabled: yes}", '1:17: web.disabled: must be true or false, not "yes"'],
      [
        "a number in place of text",
        "data_directory: 7",
        '1:17: data_directory: must be text (in quotes where it looks like something else), not "7"',
      ],
      [
        "a duration without its unit",
        "drain_timeout: 30",
        '1:16: drain_timeout: must be a duration in seconds with its unit, like "30s" or "0.5s", not "30"',
      ],
      [
        "a duration in minutes",
        "retention:\n  succeeded: 5m",
        '2:14: retention.succeeded: must be a duration in seconds with its unit, like "30s" or "0.5s", not "5m"',
      ],
      [
        "an enum that is misspelt",
        "workflows: {a.B/C: {on_interrupt: ON_INTERRUPT_FIAL}}",
        '1:35: workflows["a.B/C"].on_interrupt: must be one of ON_INTERRUPT_RETAKE, ON_INTERRUPT_FAIL (Did you mean "ON_INTERRUPT_FAIL"?), not "ON_INTERRUPT_FIAL"',
      ],
      ["an empty element", "backends:\n  -\n", "2:4: backends[0]: is empty; write {} or remove it"],
      ["an empty entry", "workflows:\n  a.B/C:\n", '2:9: workflows["a.B/C"]: is empty; write {} or remove it'],
      [
        "an empty text in a list",
        "web: {allowed_origins: [~]}",
        "1:25: web.allowed_origins[0]: is empty; write a value or remove it",
      ],
      ["an anchor that is not there", "grpc: *front", '1:7: grpc: refers to the anchor "front", which is not there'],
      ["a mapping that merges itself", "grpc: &a {<<: *a}", "1:15: grpc: merges itself"],
      ["a mapping that merges no mapping", "grpc: {<<: 5}", '1:12: grpc: must be a mapping, not "5"'],
      ["a configuration that is a list", "- grpc", "1:1: must be a mapping, not a list"],
      ["a configuration that is text", "grpc", '1:1: must be a mapping, not "grpc"'],
      [
        "a second document",
        "grpc: {}\n---\nweb: {}",
        '2:1: a configuration is one document; remove the "---" and what follows it',
      ],
      ["a tag that nobody knows", "log: {level: !secret x}", "1:14: Unresolved tag: !secret"],
      [
        "a value out of range",
        "grpc:\n  port: 99999",
        "2:3: grpc.port: must be greater than or equal to 0 and less than or equal to 65535",
      ],
      [
        "a policy out of range",
        "workflows:\n  a.B/C:\n    retry:\n      max_attempts: 0",
        '4:7: workflows["a.B/C"].retry.max_attempts: must be greater than or equal to 1 and less than or equal to 100',
      ],
      [
        "a name that is none",
        "workflows:\n  VideoService: {}",
        '2:3: workflows["VideoService"]: the key does not match regex pattern',
      ],
      [
        "what is missing",
        "web: {}\ngrpc:\n  tls:\n    key_file: a",
        "3:3: grpc.tls.certificate_file: must be at least 1 characters",
      ],
      [
        "a list that is missing",
        "backends:\n  - service: a.B",
        "2:5: backends[0].endpoints: must contain at least 1 item(s)",
      ],
      [
        "an element out of range",
        "web:\n  allowed_origins:\n    - http://a\n    - a",
        "4:7: web.allowed_origins[1]: does not match regex pattern",
      ],
      [
        "what makes no sense together",
        "web:\n  port: 9\ngrpc:\n  port: 9",
        "2:3: web.port: gRPC and web cannot share 127.0.0.1 port 9",
      ],
    ])("%s", (_, yaml, expected) => {
      expect(complaint(yaml)).toContain(`retake.yaml:${expected}`);
    });

    it("text that is no YAML", () => {
      expect(complaint("grpc: [1\nweb: 2")).toMatch(/^retake.yaml:2:1: /);
      expect(complaint("\tgrpc: 1")).toMatch(/^retake.yaml:1:1: Tabs are not allowed/);
      expect(complaint('data_directory: "\\q"')).toMatch(/^retake.yaml:1:18: Invalid escape/);
    });
  });

  it("reports every problem at once, in order of their lines", () => {
    const lines = complaint("drain_timeout: x\nweb: {prt: 1, host: 2}\ngrpc:\n  tls: []\nnope: 1").split("\n");
    expect(lines.map((line) => line.split(": ").slice(0, 2).join(": "))).toEqual([
      "retake.yaml:1:16: drain_timeout",
      "retake.yaml:2:7: web",
      "retake.yaml:2:21: web.host",
      "retake.yaml:4:8: grpc.tls",
      'retake.yaml:5:1: unknown key "nope". The keys here are',
    ]);
    expect(complaint("concurrency_limit: 0\ngrpc: {port: -1}").split("\n")).toEqual([
      expect.stringContaining("retake.yaml:1:1: concurrency_limit: "),
      expect.stringContaining("retake.yaml:2:8: grpc.port: "),
    ]);
  });

  it("does not repeat a long text", () => {
    expect(complaint(`log: ${"x".repeat(10_000)}`).length).toBeLessThan(200);
  });

  it("gives its problems to programs as well", () => {
    try {
      parse("grpc:\n  prot: 1");
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigError);
      expect((error as ConfigError).problems).toEqual([
        { field: "grpc", message: 'unknown key "prot". Did you mean "port"?', position: { line: 2, column: 3 } },
      ]);
    }
  });
});
