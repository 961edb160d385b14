import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ServerConfigSchema } from "../../gen/retake/v1/config_pb.js";
import { AccessLevel } from "../../gen/retake/v1/options_pb.js";
import { ConfigError } from "../../src/config/config-error.ts";
import { resolveConfig } from "../../src/config/resolve-config.ts";

type Init = MessageInitShape<typeof ServerConfigSchema>;

const resolve = (init: Init = {}) => resolveConfig(create(ServerConfigSchema, init));

function problemsOf(init: Init): string[] {
  try {
    resolve(init);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(({ field, message }) => `${field}: ${message}`);
    throw error;
  }
  return [];
}

import { UnknownFields } from "../../gen/retake/v1/input_config_pb.js";
import { RunState } from "../../gen/retake/v1/run_pb.js";
import { ForwardedHeader } from "../../gen/retake/v1/security_config_pb.js";

describe("resolveConfig", () => {
  it("fills in every default that config.proto promises", () => {
    expect(resolve()).toEqual({
      dataDirectory: ".retake",
      grpc: {
        host: "127.0.0.1",
        port: 50_051,
        limits: {
          maxStreamsPerConnection: 1_000,
          maxConnections: 10_000,
          maxMetadataBytes: 16_384,
          maxMessageBytes: 4_194_304,
          maxSessionMemoryMegabytes: 64,
          maxConnectionAgeMs: 3_600_000,
          maxConnectionIdleMs: 900_000,
          keepaliveTimeMs: 60_000,
          keepaliveTimeoutMs: 20_000,
          maxConnectionsPerSource: 256,
          maxResetsPerSecond: 100,
          maxControlFramesPerSecond: 1_000,
          maxUnsentMegabytesPerSource: 64,
          maxUnsentMegabytes: 512,
          abusePenaltyMs: 10_000,
          stallTimeoutMs: 60_000,
        },
        reflection: true,
        proxyProtocol: false,
      },
      web: {
        host: "127.0.0.1",
        port: 8_080,
        limits: {
          maxConnections: 10_000,
          maxHeaderBytes: 16_384,
          maxMessageBytes: 4_194_304,
          requestTimeoutMs: 60_000,
          keepaliveTimeoutMs: 75_000,
          maxConnectionsPerSource: 256,
          stallTimeoutMs: 60_000,
          maxUnsentMegabytesPerSource: 64,
          maxUnsentMegabytes: 512,
        },
        allowedOrigins: [],
        allowedHosts: [],
        proxyProtocol: false,
      },
      overrides: {},
      backends: [],
      contracts: [],
      concurrencyLimit: 1_000,
      retention: { succeededMs: 604_800_000, unsuccessfulMs: 2_592_000_000 },
      runs: { maxUnfinishedPerOwner: 1_000_000 },
      drainTimeoutMs: 30_000,
      log: { level: "info" },
      overload: { eventLoopDelayMs: 1_000, memoryShare: 0.9, commitDelayMs: 2_000 },
      artifacts: {
        maxBytes: 4_294_967_296,
        content: { maxImagePixels: 100_000_000, uncheckedMediaTypes: [] },
        gracePeriodMs: 86_400_000,
        uploadTimeoutMs: 86_400_000,
      },
      webhooks: {
        secrets: [],
        allowedUrls: [],
        timeoutMs: 10_000,
        concurrency: 16,
        concurrencyPerHost: 4,
        initialBackoffMs: 5_000,
        maxBackoffMs: 3_600_000,
        giveUpAfterMs: 259_200_000,
        maxInlineResultBytes: 16_384,
      },
      faults: [],
      security: {
        anonymousLevel: AccessLevel.PUBLIC,
        jwt: [],
        mtls: [],
        rateLimits: [],
        apiKeys: { bootstrap: true },
        lockout: { threshold: 10, windowMs: 600_000, initialDelayMs: 250, maxLockoutMs: 900_000 },
        allowPlaintext: false,
        access: { rules: {} },
        audit: {
          except: [],
          reads: false,
          file: "",
          maxAgeMs: 90 * 86_400_000,
          maxBytes: 4096 * 1024 * 1024,
          fileBytes: 8 * 1024 * 1024,
          maxDelayMs: 1000,
          maxWaiting: 65_536,
          refuseOnFailure: false,
        },
        redaction: { personalData: "pseudonymize", keepAddresses: [] },
        payloadEncryption: { all: false },
        input: {
          unknownFields: UnknownFields.KEEP,
          binary: { recursionLimit: 100, readUnknownFields: true },
          json: { recursionLimit: 100, ignoreUnknownFields: true },
        },
      },
      telemetry: {
        ...{ metricsEndpoint: true, metricsLevel: AccessLevel.PUBLIC, cardinalityLimit: 2_000, spansPerSecond: 1_000 },
      },
      monitoring: {
        series: { limit: 20_000 },
        ...{ rules: [], slos: [], notifiers: [], routes: [], disabledRules: [], externalUrl: "" },
      },
    });
  });

  it.each([
    ["127.0.0.1", AccessLevel.PUBLIC],
    ["127.8.8.8", AccessLevel.PUBLIC],
    ["localhost", AccessLevel.PUBLIC],
    ["::1", AccessLevel.PUBLIC],
    ["0.0.0.0", AccessLevel.PRIVILEGED],
    ["::", AccessLevel.PRIVILEGED],
    ["127.example.com", AccessLevel.PRIVILEGED],
  ])("shows metrics on the web port at %s to those of level %s", (host, level) => {
    const web = { web: { host }, security: { allowPlaintext: true } };
    expect(resolve(web).telemetry).toMatchObject({ metricsEndpoint: true, metricsLevel: level });
    const other = { metricsEndpoint: false, metricsLevel: AccessLevel.ADMIN };
    expect(resolve({ ...web, telemetry: other }).telemetry).toMatchObject(other);
  });

  it("lets the largest messages wait to be read, however large they may be", () => {
    const limits = resolve({ grpc: { limits: { maxMessageBytes: 256 * 1024 * 1024, maxSessionMemoryMegabytes: 512 } } })
      .grpc?.limits;
    expect([limits?.maxUnsentMegabytesPerSource, limits?.maxUnsentMegabytes]).toEqual([1024, 8192]);
  });

  it("keeps nothing of metrics where there are none", () => {
    const quiet = resolve({ telemetry: { disabled: true }, monitoring: {} });
    expect([quiet.telemetry, quiet.monitoring]).toEqual([undefined, undefined]);
    expect(resolve({ monitoring: { disabled: true } }).monitoring).toBeUndefined();
    expect(resolve({ web: { disabled: true } }).telemetry?.metricsEndpoint).toBe(false);
  });

  it("reads where secrets are", () => {
    const secrets = [
      { source: { case: "file" as const, value: "/run/secret" } },
      { source: { case: "environment" as const, value: "SECRET" } },
    ];
    expect(resolve({ webhooks: { secrets, maxInlineResultBytes: 0 } }).webhooks).toMatchObject({
      secrets: [
        { kind: "file", path: "/run/secret" },
        { kind: "environment", name: "SECRET" },
      ],
      maxInlineResultBytes: 0,
    });
  });

  it("trusts the proxies that are named, and by one header", () => {
    const trustedProxies = ["10.0.0.0/8", "::1"];
    expect(resolve({ security: {} }).security.proxies).toBeUndefined();
    const { security } = resolve({ security: { trustedProxies }, grpc: { proxyProtocol: true } });
    expect(security.proxies).toEqual({ trusted: trustedProxies, header: "x-forwarded-for" });
    const none = resolve({ security: { trustedProxies, forwardedHeader: ForwardedHeader.NONE } });
    expect(none.security.proxies).toEqual({ trusted: trustedProxies });
  });

  it("refuses to trust everybody, or nobody whose connections are to begin with what proxies say", () => {
    for (const each of ["0.0.0.0/0", "::/0", "10.0.0.0/33", "10.0.0", "fe80::1%eth0", "proxy.example", ""]) {
      expect(problemsOf({ security: { trustedProxies: [each] } })).toEqual([
        expect.stringMatching(/^security\.trusted_proxies\[0\]: must be an IP address or a network/),
      ]);
    }
    expect(problemsOf({ grpc: { proxyProtocol: true }, web: { proxyProtocol: true } })).toEqual([
      expect.stringMatching(/^grpc\.proxy_protocol: .*name them in security\.trusted_proxies/),
      expect.stringMatching(/^web\.proxy_protocol: .*name them in security\.trusted_proxies/),
    ]);
  });

  it("refuses webhooks that cannot work", () => {
    expect(problemsOf({ webhooks: { allowedUrls: ["https://hooks.example/"] } })).toEqual([
      expect.stringMatching(/^webhooks\.secrets: .*name a secret/),
    ]);
    const secrets = [{ source: { case: "environment" as const, value: "SECRET" } }];
    expect(
      problemsOf({
        webhooks: { secrets, allowedUrls: ["http://[/"], initialBackoff: { seconds: 9n }, maxBackoff: { seconds: 8n } },
      }),
    ).toEqual([
      'webhooks.allowed_urls[0]: "http://[/" is no URL',
      "webhooks.initial_backoff: 9000 ms is longer than max_backoff, 8000 ms; lower it, or raise that",
    ]);
    for (const url of ["hooks.example", "https://hooks.example/?a", "https://user@hooks.example/"]) {
      expect(problemsOf({ webhooks: { secrets, allowedUrls: [url] } })).toEqual([
        expect.stringMatching(/^webhooks\.allowed_urls\[0\]/),
      ]);
    }
  });

  it("keeps what is given, zero and false included", () => {
    const config = resolve({
      dataDirectory: "data",
      grpc: { port: 0, reflection: false, tls: { certificateFile: "a", keyFile: "b" }, limits: { maxConnections: 1 } },
      web: { disabled: true },
      drainTimeout: {},
      retention: { succeeded: {}, maxSucceeded: 1_000, maxCancelled: 0 },
      log: { level: "silent" },
      artifacts: {
        maxBytes: 1_024n,
        gracePeriod: { seconds: 60n },
        uploadTimeout: { seconds: 61n },
        maxImagePixels: 9n,
        uncheckedMediaTypes: ["image/*"],
        maxTotalBytes: 8_192n,
        maxBytesPerOwner: 4_096n,
      },
      security: { input: { maxNesting: 7, unknownFields: UnknownFields.IGNORE } },
      workflows: { "a.B/C": { maxInterruptions: 3 } },
    });
    expect(config.dataDirectory).toBe("data");
    expect(config.grpc).toMatchObject({
      port: 0,
      reflection: false,
      tls: { certificateFile: "a", keyFile: "b" },
      limits: { maxConnections: 1, maxStreamsPerConnection: 1_000 },
    });
    expect(config.grpc?.tls).not.toHaveProperty("clientCaFile");
    expect(config).not.toHaveProperty("web");
    expect(config.drainTimeoutMs).toBe(0);
    expect(config.artifacts).toEqual({
      ...{ maxBytes: 1_024, maxTotalBytes: 8_192, maxBytesPerOwner: 4_096 },
      ...{ gracePeriodMs: 60_000, uploadTimeoutMs: 61_000 },
      content: { maxImagePixels: 9, uncheckedMediaTypes: ["image/*"] },
    });
    expect(config.security.input).toMatchObject({
      binary: { recursionLimit: 7, readUnknownFields: false },
      json: { recursionLimit: 7, ignoreUnknownFields: true },
    });
    expect(config.retention).toEqual({
      succeededMs: 0,
      unsuccessfulMs: 2_592_000_000,
      most: new Map([
        [RunState.SUCCEEDED, 1_000],
        [RunState.CANCELLED, 0],
      ]),
    });
    expect(config.log.level).toBe("silent");
    expect(config.overrides["a.B/C"]?.maxInterruptions).toBe(3);
  });

  it("gives an endpoint its settings wherever it is named", () => {
    const { backends } = resolve({
      backends: [
        { service: "a.B", endpoints: [{ target: "gpu:1", tls: { caFile: "ca.pem" } }, { target: "in-process" }] },
        { service: "a.C", endpoints: [{ target: "gpu:1", slots: 2 }] },
        { endpoints: [{ target: "gpu:1", healthCheck: { service: "a.C", interval: { seconds: 1n } } }] },
      ],
    });
    const gpu = {
      target: "gpu:1",
      slots: 2,
      tls: { caFile: "ca.pem" },
      keepaliveTimeMs: 60_000,
      keepaliveTimeoutMs: 20_000,
      healthCheck: { service: "a.C", intervalMs: 1000, timeoutMs: 3000 },
    };
    expect(backends.map(({ service }) => service)).toEqual(["a.B", "a.C", undefined]);
    expect(backends.map(({ endpoints }) => endpoints[0])).toEqual([gpu, gpu, gpu]);
    expect(backends[0]?.endpoints[1]).toMatchObject({ target: "in-process", slots: Number.POSITIVE_INFINITY });
    expect(backends[0]?.endpoints[1]).not.toHaveProperty("healthCheck");
  });

  it("takes outliers out by default, as the back-end says, or not at all", () => {
    const { backends } = resolve({
      backends: [
        { service: "a.A", endpoints: [{ target: "a:1" }] },
        {
          service: "a.B",
          endpoints: [{ target: "b:1" }],
          outlierDetection: { consecutiveFailures: 2, baseEjectionTime: { seconds: 1n }, maxEjectionPercent: 0 },
        },
        { service: "a.C", endpoints: [{ target: "c:1" }], outlierDetection: { disabled: true } },
      ],
    });
    const own = { consecutiveFailures: 5, baseEjectionMs: 30_000, maxEjectionMs: 300_000, maxEjectionPercent: 50 };
    expect(backends.map(({ outlierDetection }) => outlierDetection)).toEqual([
      own,
      { ...own, consecutiveFailures: 2, baseEjectionMs: 1_000, maxEjectionPercent: 0 },
      undefined,
    ]);
  });

  it("pings a back-end that is not probed no more often than servers allow by themselves", () => {
    const endpoints = [
      { target: "a:1" },
      { target: "b:1", healthCheck: { disabled: true } },
      { target: "c:1", healthCheck: { disabled: true }, keepaliveTime: { seconds: 30n } },
    ];
    const [backend] = resolve({ backends: [{ service: "a.B", endpoints }] }).backends;
    expect(backend?.endpoints.map(({ keepaliveTimeMs }) => keepaliveTimeMs)).toEqual([60_000, 300_000, 30_000]);
    expect(backend?.endpoints.map((endpoint) => "healthCheck" in endpoint)).toEqual([true, false, false]);
  });

  it.each(["localhost", "::", "::1", "0.0.0.0", "gpu-7.internal.example", "a_b", "host."])(
    "takes the host %s",
    (host) => {
      expect(problemsOf({ grpc: { host }, security: { allowPlaintext: true } })).toEqual([]);
    },
  );

  it("takes no address that others reach without TLS, unless it is told to, and says what to do", () => {
    const tls = { certificateFile: "a.pem", keyFile: "a.key" };
    for (const front of ["grpc", "web"]) {
      for (const host of ["0.0.0.0", "::", "10.0.0.7", "gpu-7.internal.example", "127.example"]) {
        const [problem, ...others] = problemsOf({ [front]: { host } });
        expect(problem).toMatch(new RegExp(`^${front}\\.host: "${host}" is reached by other machines`));
        expect(problem).toContain(`set ${front}.tls, or listen on 127.0.0.1, or`);
        expect(problem).toContain("security: { allow_plaintext: true }");
        expect(others).toEqual([]);
        expect(problemsOf({ [front]: { host, tls } })).toEqual([]);
        expect(problemsOf({ [front]: { host, disabled: true } })).toEqual([]);
      }
      for (const host of ["", "localhost", "127.0.0.1", "127.8.8.8", "::1"]) {
        expect(problemsOf({ [front]: { host } })).toEqual([]);
      }
    }
  });

  it("reads what becomes of keys and of those who guess", () => {
    const { security } = resolve({
      security: {
        apiKeys: { disabled: true },
        lockout: {
          threshold: 3,
          window: { seconds: 5n },
          initialDelay: { nanos: 5_000_000 },
          maxLockout: { seconds: 9n },
        },
      },
    });
    expect(security.apiKeys).toBeUndefined();
    expect(security.lockout).toEqual({ threshold: 3, windowMs: 5000, initialDelayMs: 5, maxLockoutMs: 9000 });
    const off = resolve({ security: { apiKeys: { bootstrap: false }, lockout: { disabled: true } } }).security;
    expect([off.apiKeys, off.lockout]).toEqual([{ bootstrap: false }, undefined]);
  });

  it.each<[what: string, init: Init, problem: string]>([
    ["a value out of range", { grpc: { port: 70_000 } }, "grpc.port: must be"],
    ["a key that is no workflow's name", { workflows: { x: {} } }, 'workflows["x"]: the key does not match'],
    ["one port for both", { web: { port: 50_051 } }, "web.port: gRPC and web cannot share 127.0.0.1 port 50051"],
    ["one port for both, by the other", { grpc: { port: 8_080 } }, "grpc.port: gRPC and web cannot share"],
    [
      "one port of all addresses and of one",
      {
        grpc: { host: "0.0.0.0", port: 9 },
        web: { host: "10.0.0.1", port: 9 },
        security: { allowPlaintext: true },
      },
      "web.port: gRPC and web cannot share 10.0.0.1 port 9",
    ],
    [
      "one port under two names of one address",
      { grpc: { host: "localhost", port: 9 }, web: { port: 9 } },
      "web.port: gRPC and web cannot share 127.0.0.1 port 9",
    ],
    [
      "a port in the host",
      { grpc: { host: "0.0.0.0:50051" } },
      'grpc.host: "0.0.0.0:50051" is no host name or address',
    ],
    [
      "a lock-out that begins longer than it may be",
      { security: { lockout: { initialDelay: { seconds: 9n }, maxLockout: { seconds: 5n } } } },
      "security.lockout.initial_delay: is longer than the longest lock-out",
    ],
    ["a host in brackets", { web: { host: "[::1]" } }, 'web.host: "[::1]" is no host name or address'],
    ["a host that is a URL", { web: { host: "http://a" } }, 'web.host: "http://a" is no host name or address'],
    [
      "messages above the memory of their connection",
      { grpc: { limits: { maxMessageBytes: 100_000_000 } } },
      "grpc.limits.max_message_bytes: a message of 100000000 bytes does not fit into max_session_memory_megabytes, 64; raise that to 100",
    ],
    [
      "two back-ends of one service",
      { backends: [1, 2].map((port) => ({ service: "a.B", endpoints: [{ target: `gpu:${port}` }] })) },
      'backends[1].service: "a.B" has a back-end already',
    ],
    [
      "an address twice",
      { backends: [{ service: "a.B", endpoints: [{ target: "gpu:1" }, { target: "gpu:1" }] }] },
      'backends[0].endpoints[1]: "gpu:1" is named twice for "a.B"',
    ],
    [
      "two numbers of slots of one address",
      {
        backends: [
          { service: "a.B", endpoints: [{ target: "gpu:1", slots: 2 }] },
          { service: "a.C", endpoints: [{ target: "gpu:1", slots: 3 }] },
        ],
      },
      'backends[1].endpoints[0].slots: "gpu:1" has 2 slots elsewhere',
    ],
    [
      "a misspelt in-process",
      { backends: [{ service: "a.B", endpoints: [{ target: "in_process" }] }] },
      'backends[0].endpoints[0].target: write "in-process"',
    ],
    [
      "a target with blanks",
      { backends: [{ service: "a.B", endpoints: [{ target: "gpu 1" }] }] },
      'backends[0].endpoints[0].target: "gpu 1" is no gRPC target',
    ],
    [
      "a URL for a target",
      { backends: [{ service: "a.B", endpoints: [{ target: "https://gpu:1/x" }] }] },
      'backends[0].endpoints[0].target: "https://gpu:1/x" is a URL; write "dns:///gpu:1", and tls: {}',
    ],
    [
      "handlers in this process for any service",
      { backends: [{ endpoints: [{ target: "in-process" }] }] },
      'backends[0].endpoints[0].target: name the service whose handlers are meant: service: "package.Service"',
    ],
    [
      "TLS to this process",
      { backends: [{ service: "a.B", endpoints: [{ target: "in-process", tls: {} }] }] },
      "backends[0].endpoints[0].tls: a handler in this process has no connection; remove it",
    ],
    [
      "a certificate without its key",
      { backends: [{ service: "a.B", endpoints: [{ target: "gpu:1", tls: { certificateFile: "a.pem" } }] }] },
      "backends[0].endpoints[0].tls.certificate_file: needs key_file",
    ],
    [
      "two ways to probe one address",
      {
        backends: [
          { service: "a.B", endpoints: [{ target: "gpu:1", healthCheck: {} }] },
          { service: "a.C", endpoints: [{ target: "gpu:1", healthCheck: { disabled: true } }] },
        ],
      },
      'backends[1].endpoints[0].health_check: "gpu:1" has another health_check elsewhere',
    ],
  ])("refuses %s", (_, init, problem) => {
    expect(problemsOf(init)).toEqual([expect.stringContaining(problem)]);
  });

  it.each<[what: string, init: Init]>([
    [
      "one address in several back-ends that say the same of it",
      {
        backends: [
          { endpoints: [{ target: "gpu:1", slots: 2, tls: { caFile: "ca.pem" } }] },
          { endpoints: [{ target: "gpu:1", slots: 2, tls: { caFile: "ca.pem" } }] },
        ],
      },
    ],
    ["free ports", { grpc: { port: 0 }, web: { port: 0 } }],
    ["one port on two addresses", { grpc: { host: "127.0.0.1", port: 9 }, web: { host: "127.0.0.2", port: 9 } }],
    ["one port of which only one is used", { grpc: { port: 9, disabled: true }, web: { port: 9 } }],
    [
      "large messages with the memory for them",
      { grpc: { limits: { maxMessageBytes: 100_000_000, maxSessionMemoryMegabytes: 100 } } },
    ],
  ])("takes %s", (_, init) => {
    expect(problemsOf(init)).toEqual([]);
  });

  it("names every problem in its message", () => {
    const init: Init = { grpc: { host: "a:1" }, web: { host: "b:2" } };
    expect(() => resolve(init)).toThrow(/^configuration: grpc.host: "a:1" is .*\nconfiguration: web.host: "b:2" is/);
  });
});
