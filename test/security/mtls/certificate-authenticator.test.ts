import type { PeerCertificate } from "node:tls";
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import type { ResolvedCertificateRule } from "../../../src/config/index.ts";
import { CredentialsError } from "../../../src/security/credentials-error.ts";
import { CertificateAuthenticator } from "../../../src/security/index.ts";
import { certificateFields } from "../../../src/security/mtls/certificate-fields.ts";
import { createVirtualClock } from "../../../src/testing/index.ts";
import { recordingLogger } from "../../server/listening-server.ts";

function certificate(fields: object = {}): PeerCertificate {
  return {
    subject: { CN: "ann" },
    issuer: { CN: "Test authority" },
    serialNumber: "01AB",
    fingerprint256: "0A:1B:FF",
    valid_to: "Nov  7 12:00:00 2030 GMT",
    ...fields,
  } as PeerCertificate;
}

function withRules(...rules: Omit<ResolvedCertificateRule, "field">[]) {
  const log = recordingLogger();
  const clock = createVirtualClock({ startMs: Date.parse("2030-11-07T11:59:00Z") });
  const authenticator = new CertificateAuthenticator(
    rules.map((rule, index) => ({ ...rule, field: `security.mtls[${index}]` })),
    { clock, log },
  );
  return {
    log,
    clock,
    authenticate: (shown: PeerCertificate | undefined, any = false) =>
      authenticator.authenticate({ ...(shown && { certificate: shown }), any, source: "", lockedOut: false }),
  };
}

describe("a certificate, as expressions see it", () => {
  it("has its names by their kinds", () => {
    const fields = certificateFields(
      certificate({
        subject: { CN: "ann", O: "Render, Inc", OU: ["a", "b"] },
        subjectaltname: "URI:spiffe://example/a, DNS:a.example, DNS:b.example, email:a@example, IP Address:10.0.0.1",
      }),
    );
    expect(Object.fromEntries(fields)).toEqual({
      common_name: "ann",
      organizations: ["Render, Inc"],
      organizational_units: ["a", "b"],
      uris: ["spiffe://example/a"],
      dns_names: ["a.example", "b.example"],
      emails: ["a@example"],
      ip_addresses: ["10.0.0.1"],
      issuer_common_name: "Test authority",
      serial_number: "01AB",
      fingerprint: "0a1bff",
    });
  });

  it("has none that is hidden in another", () => {
    const fields = certificateFields(
      certificate({ subjectaltname: String.raw`URI:"http://a/, DNS:evil.example\"", DNS:a.example` }),
    );
    expect(fields.get("dns_names")).toEqual(["a.example"]);
    expect(fields.get("uris")).toEqual([`http://a/, DNS:evil.example"`]);
  });

  it.each(['DNS:a.example, "', "DNS:a.example, nonsense", 'DNS:"a.example, URI:b'])(
    "has no names at all where some cannot be understood: %s",
    (subjectaltname) => {
      const fields = certificateFields(certificate({ subjectaltname }));
      expect([fields.get("dns_names"), fields.get("uris")]).toEqual([[], []]);
    },
  );

  it("has no common name where there are several, or no names of its own", () => {
    expect(certificateFields(certificate({ subject: { CN: ["ann", "root"] } })).get("common_name")).toBe("");
    expect(certificateFields(certificate({ subject: undefined, issuer: undefined })).get("common_name")).toBe("");
  });
});

describe("a caller with a certificate", () => {
  const anyone = { condition: "true", identity: {} };

  it("is whom the first rule that is for it says", () => {
    const { authenticate } = withRules(
      { condition: `certificate.common_name == "bea"`, identity: { level: `"ADMIN"` } },
      {
        condition: `certificate.organizations.exists(o, o == "Render")`,
        identity: { subject: `"worker"`, tenant: `"render"`, groups: "certificate.organizational_units" },
      },
      anyone,
    );
    expect(authenticate(certificate({ subject: { CN: "bea", O: "Render" } }))).toMatchObject({
      subject: "bea",
      level: AccessLevel.ADMIN,
    });
    expect(authenticate(certificate({ subject: { CN: "x", O: "Render", OU: "gpu" } }))).toEqual({
      subject: "worker",
      tenant: "render",
      level: AccessLevel.AUTHENTICATED,
      groups: ["gpu"],
      authentication: "mtls",
      credential: "0a1bff",
      isCurrent: expect.any(Function),
    });
    expect(authenticate(certificate())).toMatchObject({ subject: "ann", tenant: "default" });
  });

  it("is the same object on each call of its connection", () => {
    const { authenticate } = withRules(anyone);
    const shown = certificate();
    expect(authenticate(shown)).toBe(authenticate(shown));
  });

  it("is nobody any more once it has expired, also on a connection that was open before", async () => {
    const { authenticate, clock } = withRules(anyone);
    const shown = certificate();
    const principal = authenticate(shown);
    await clock.advance(59_999);
    expect([authenticate(shown), principal?.isCurrent?.()]).toEqual([principal, true]);
    await clock.advance(1);
    expect(principal?.isCurrent?.()).toBe(false);
    expect(() => authenticate(shown)).toThrow("was valid until Nov  7 12:00:00 2030 GMT");
  });

  it.each([
    ["its name", { subject: { CN: "ann", O: "Render" } }, "CN=ann, O=Render of Test authority"],
    ["its other names", { subject: {}, subjectaltname: "URI:spiffe://a" }, "URI:spiffe://a of Test authority"],
    ["its fingerprint, without a name", { subject: undefined }, "0a1bff"],
    ["its fingerprint, where the name is none", { subject: { CN: "ann\u202e" } }, "0a1bff"],
    ["its fingerprint, where the name is too long", { subject: { CN: "a".repeat(256) } }, "0a1bff"],
  ])(
    "that is refused, or has expired, is the failure of whom the authority says it is: %s",
    async (_, fields, proven) => {
      const shown = certificate({ subjectaltname: "", ...fields });
      const blamed = (rules: ReturnType<typeof withRules>): unknown => {
        try {
          return rules.authenticate(shown);
        } catch (error) {
          return (error as CredentialsError).blamed;
        }
      };
      expect(blamed(withRules({ condition: "false", identity: {} }))).toEqual({ proven });
      const expired = withRules({ condition: "true", identity: { subject: `"somebody"` } });
      await expired.clock.advance(60_000);
      expect(blamed(expired)).toEqual({ proven });
    },
  );

  it("is judged by what the call shows, if it shows anything, and be that wrong", () => {
    const { authenticate } = withRules(anyone);
    expect(authenticate(certificate(), true)).toBeUndefined();
    expect(authenticate(undefined)).toBeUndefined();
  });

  it.each([
    ["no rule is for it", [{ condition: "false", identity: {} }], "no rule of security.mtls is for it"],
    [
      "a condition has no value, though a later rule would do",
      [{ condition: `certificate.uris[0] == "a"`, identity: {} }, anyone],
      "a rule cannot be applied",
    ],
    [
      "a condition is neither true nor false",
      [{ condition: "certificate.common_name", identity: {} }],
      "a rule cannot be applied",
    ],
    ["its level is none", [{ condition: "true", identity: { level: `"ROOT"` } }], "a rule cannot be applied"],
  ])("is refused when %s", (_, rules, told) => {
    const { authenticate, log } = withRules(...rules);
    const shown = certificate();
    for (let call = 0; call < 3; call++) {
      expect(() => authenticate(shown)).toThrow(
        expect.objectContaining({ code: Code.Unauthenticated, constructor: CredentialsError }),
      );
    }
    expect(log.entries).toEqual([expect.objectContaining({ message: expect.stringContaining(told) })]);
  });

  it("is refused without a name", () => {
    const { authenticate } = withRules(anyone);
    expect(() => authenticate(certificate({ subject: { CN: "" } }))).toThrow("does not know whom");
  });
});
