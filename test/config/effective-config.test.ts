import { create } from "@bufbuild/protobuf";
import { type ReflectList, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { ServerConfigSchema } from "../../gen/retake/v1/config_pb.js";
import { effectiveConfig, parseYaml, resolveConfig } from "../../src/config/index.ts";

/** Something in every section, and as little as there may be. */
const sparse = `
grpc: { tls: { certificate_file: a.pem, key_file: a.key, client_ca_file: ca.pem } }
web: { tls: { certificate_file: a.pem, key_file: a.key }, limits: { max_message_bytes: 104857600 } }
backends:
  - { service: a.B, endpoints: [{ target: "dns:///gpu:50061" }, { target: in-process }], retry_budget: {} }
  - { endpoints: [{ target: "gpu:1", slots: 2, health_check: { disabled: true } }], outlier_detection: { disabled: true } }
webhooks: { secrets: [{ environment: SECRET }] }
security:
  jwt: [{ issuer: "https://a.example", audiences: [a], algorithms: [ES256] }]
  rate_limits: [{ scope: [RATE_LIMIT_SCOPE_SOURCE], limit: 7 }]
  audit: { on_failure: AUDIT_FAILURE_MODE_REFUSE, retention: { max_megabytes: 100 } }
  redaction: { personal_data: PERSONAL_DATA_REDACT }
  trusted_proxies: [10.0.0.0/8]
monitoring:
  notifiers:
    - { name: hook, webhook: { url: "https://a.example/" } }
    - { name: page, pagerduty: { routing_key: { environment: KEY } } }
    - { name: mail, email: { host: a.example, from: a@a.example, to: [b@a.example], security: EMAIL_SECURITY_TLS } }
  routes: [{ notifiers: [mail] }]
`;

const off = `
grpc: { disabled: true }
overload: { disabled: true }
telemetry: { disabled: true }
monitoring: { disabled: true }
security: { api_keys: { disabled: true }, lockout: { disabled: true }, audit: { disabled: true } }
`;

const parse = async (yaml: string) => await parseYaml(ServerConfigSchema, yaml, "retake.yaml");

/** Fields that can tell whether they are set, and are not. */
function unsetIn(message: ReflectMessage, path = ""): string[] {
  return message.fields.flatMap((field) => {
    const here = path === "" ? field.name : `${path}.${field.name}`;
    if (!message.isSet(field)) {
      const tells = field.presence === FeatureSet_FieldPresence.EXPLICIT || field.fieldKind === "enum";
      return tells && field.oneof === undefined ? [here] : [];
    }
    const value = message.get(field);
    if (field.fieldKind === "message" && !field.message.typeName.startsWith("google.")) {
      return unsetIn(value as ReflectMessage, here);
    }
    if (field.fieldKind !== "list" || field.listKind !== "message") return [];
    return Array.from(value as ReflectList, (item) => unsetIn(item as ReflectMessage, `${here}[]`)).flat();
  });
}

describe("effectiveConfig", () => {
  it.each([
    ["an empty one", ""],
    ["one with every section", sparse],
    ["one with sections that are off", off],
  ])("comes to the same as what was given: %s", async (_, yaml) => {
    const given = await parse(yaml);
    const before = JSON.stringify(resolveConfig(given));
    const effective = effectiveConfig(given);
    expect(resolveConfig(effective)).toEqual(resolveConfig(given));
    expect(JSON.stringify(resolveConfig(given))).toBe(before);
    expect(effectiveConfig(effective)).toEqual(effective);
  });

  it("leaves nothing out that has a default", async () => {
    const effective = effectiveConfig(await parse(sparse));
    expect(new Set(unsetIn(reflect(ServerConfigSchema, effective)))).toEqual(
      new Set([
        // No limit, no other address, no mapping: there is nothing to write.
        "backends[].endpoints[].slots",
        "backends[].endpoints[].tls",
        "backends[].retry_budget",
        ...["max_succeeded", "max_failed", "max_cancelled", "max_expired"].map((name) => `retention.${name}`),
        "security.jwt[].identity",
        "security.access",
        "security.payload_encryption",
        "monitoring.notifiers[].email.credentials",
        "monitoring.routes[].repeat_interval",
        // Shares of a disk that only the server sees.
        ...["artifacts.max_total_bytes", "artifacts.max_bytes_per_owner"],
        "runs.max_unfinished_bytes_per_owner",
        // Not asked for, or never: there, the rest means nothing.
        "web.tls.client_certificate",
        ...["keepalive_time", "keepalive_timeout", "health_check"].map((name) => `backends[].endpoints[].${name}`),
        ...["interval", "timeout"].map((name) => `backends[].endpoints[].health_check.${name}`),
        ...["consecutive_failures", "base_ejection_time", "max_ejection_time", "max_ejection_percent"].map(
          (name) => `backends[].outlier_detection.${name}`,
        ),
      ]),
    );
  });

  it("works out what depends on something else", async () => {
    const { web, security, telemetry } = effectiveConfig(await parse(sparse));
    expect(web?.limits?.maxUnsentMegabytesPerSource).toBe(400);
    expect(security?.rateLimits[0]?.burst).toBe(7);
    expect(security?.audit?.retention).toMatchObject({ maxMegabytes: 100, fileMegabytes: 8 });
    expect(telemetry?.spansPerSecond).toBe(1_000);
  });

  it("refuses what a server would", () => {
    expect(() => effectiveConfig(create(ServerConfigSchema, { concurrencyLimit: 0 }))).toThrow("concurrency_limit");
  });
});
