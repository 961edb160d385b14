import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { AccessLevel } from "../../../gen/retake/v1/options_pb.js";
import { createContractRegistry } from "../../../src/contract/index.ts";
import { compileAccessCondition, conditionHolds } from "../../../src/security/access/condition.ts";
import type { Principal } from "../../../src/security/index.ts";
import { AccessService, PublicRequestSchema } from "../../gen/retake/test/v1/access_pb.js";

const { registry } = createContractRegistry({ services: [AccessService] });
const compiled = (source: string) => compileAccessCondition(source, PublicRequestSchema, registry);
const alice: Principal = {
  tenant: "default",
  subject: "alice",
  level: AccessLevel.PRIVILEGED,
  groups: ["film", "sound"],
  authentication: "mtls",
};
const request = create(PublicRequestSchema, { text: "hello", file: { artifactId: "f" } });
const holds = (source: string) => conditionHolds(compiled(source), alice, request, Date.UTC(2026, 10, 27));

describe("an access condition", () => {
  it.each([
    "principal.tenant == 'default' && principal.subject == 'alice'",
    "principal.level == 'PRIVILEGED' && principal.authentication == 'mtls'",
    "'film' in principal.groups && principal.groups.exists(g, g == 'sound')",
    "request.text.size() == 5 && request.file.artifact_id == 'f' && !has(request.file.create_time)",
    "now > timestamp('2026-11-26T00:00:00Z') && now.getHours('UTC') == 0",
  ])("may ask: %s", (source) => {
    expect(holds(source)).toBe(true);
    expect(holds(`!(${source})`)).toBe(false);
  });

  it.each([
    ["request.txt == ''", 'retake.test.v1.PublicRequest has no field txt Did you mean "text"?'],
    ["request.file.nam == ''", 'retake.v1.Artifact has no field nam Did you mean "name"?'],
    ["[request.txt] == [''] || true", "has no field txt"],
    ["{'a': request.txt}.a == ''", "has no field txt"],
    ["principal.groups.exists(g, g == request.txt)", "has no field txt"],
    ["principal.levle == 'ADMIN'", 'principal has no levle Did you mean "level"?'],
    ["time > now", "there is no variable time"],
    ["request.text ==", "is no CEL expression"],
    ["1 + 2", 'access.condition: "1 + 2" is neither true nor false'],
    ["request.text", "is neither true nor false"],
    ["principal.level", "is neither true nor false"],
  ])("is wrong before any call: %s", (source, problem) => {
    expect(() => compiled(source)).toThrow(problem);
  });

  it.each(["request.text", "request.text.size()", "principal.groups[7] == ''"])(
    "that is neither true nor false throws: %s",
    (source) => {
      expect(() => holds(source)).toThrow("access.condition");
    },
  );
});
