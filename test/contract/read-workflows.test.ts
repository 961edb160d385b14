import { create, type DescService, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { describe, expect, it } from "vitest";
import { WorkflowPolicySchema } from "../../gen/retake/v1/options_pb.js";
import type { ContractProblem } from "../../src/contract/contract-error.ts";
import { readWorkflows } from "../../src/contract/read-workflows.ts";
import { inputKey, type Workflow } from "../../src/contract/workflow.ts";
import { ContractService, DraftRequestSchema, RenderRequestSchema } from "../gen/retake/test/v1/contracts_pb.js";
import { compileContracts, contractSource, loadedAnew } from "./compile-contracts.ts";

type Overrides = Record<string, MessageInitShape<typeof WorkflowPolicySchema>>;

interface Case {
  readonly body: string;
  readonly overrides?: Overrides;
  /** `where: message`, by their beginnings and middles. */
  readonly problems: readonly (string | RegExp)[];
}

/** A service S of one workflow M, with a request made of the fields. */
const requestOf = (fields: string, more = "") =>
  `service S { rpc M(In) returns (Out) { option (retake.v1.workflow) = {}; } } message In { ${fields} } message Out {} ${more}`;

/** The same with a policy and an empty request. */
const policyOf = (policy: string) =>
  `service S { rpc M(In) returns (Out) { option (retake.v1.workflow) = { ${policy} }; } } message In {} message Out {}`;

const refused: Record<string, Case> = {
  // The method.
  client_streaming: {
    body: "service S { rpc M(stream In) returns (Out) { option (retake.v1.workflow) = {}; } } message In {} message Out {}",
    problems: ["S/M: streams its requests"],
  },
  bidi: {
    body: "service S { rpc M(stream In) returns (stream Out) { option (retake.v1.workflow) = {}; } } message In {} message Out {}",
    problems: ["S/M: streams its requests"],
  },
  no_result: {
    body: `service S { rpc M(In) returns (stream Out) { option (retake.v1.workflow) = {}; } }
           message In {} message Out { retake.v1.Progress progress = 1; }`,
    problems: ["S/M: has no possible result"],
  },
  no_workflow: {
    body: "service S { rpc M(In) returns (Out); } message In {} message Out {}",
    problems: ["S: has no workflow: give a method the option"],
  },
  no_method: { body: "service S {}", problems: ["S: has no workflow: give a method the option"] },
  bidi_by_override: {
    body: "service S { rpc M(stream In) returns (stream Out); } message In {} message Out {}",
    overrides: { "bidi_by_override.S/M": {} },
    problems: ["S/M: streams its requests"],
  },

  updates_misspelt: {
    body: `service S { rpc M(In) returns (stream Out) { option (retake.v1.workflow) = {}; } }
           message In {} message Out { oneof u { string line = 1; string text = 2; } }`,
    overrides: { "updates_misspelt.S/M": { updates: ["lime"] } },
    problems: [
      /S\/M: updates: updates_misspelt\.Out has no member "lime"\. Did you mean "line"\?$/,
      "S/M: streams messages of which each could be the result",
    ],
  },
  updates_of_unary: {
    body: policyOf('updates: ["line"]'),
    problems: ["S/M: updates: it is unary, and answers with its result only"],
  },
  updates_without_result: {
    body: `service S { rpc M(In) returns (stream Out); } message In {} message Out { oneof u { string line = 1; } }`,
    overrides: { "updates_without_result.S/M": { updates: ["line"] } },
    problems: ["S/M: has no possible result"],
  },

  // The policy.
  out_of_range: {
    body: policyOf(
      "max_interruptions: 0 retry: { max_attempts: 101 backoff_multiplier: 0.5 } timeout: { seconds: -1 }",
    ),
    problems: [
      /S\/M: option \(retake.v1.workflow\): timeout: must be/,
      /S\/M: option \(retake.v1.workflow\): retry.max_attempts: must be/,
      /S\/M: option \(retake.v1.workflow\): retry.backoff_multiplier: must be/,
      /S\/M: option \(retake.v1.workflow\): max_interruptions: must be/,
    ],
  },
  unknown_code: {
    body: policyOf('retry: { retryable_status_codes: ["UNAVAILABLE", "unavailable"] }'),
    problems: [/S\/M: option \(retake.v1.workflow\): retry.retryable_status_codes\[1\]: must be in list/],
  },
  credentials_forwarded: {
    body: policyOf('forward_metadata: ["authorization"]'),
    problems: [/S\/M: option \(retake.v1.workflow\): forward_metadata\[0\]: must not be in list/],
  },
  backoff_upside_down: {
    body: policyOf("retry: { initial_backoff: { seconds: 90 } }"),
    problems: ["S/M: retry.initial_backoff: 90 s is longer than retry.max_backoff, 60 s"],
  },
  backoff_upside_down_by_override: {
    body: policyOf("retry: { initial_backoff: { seconds: 20 } }"),
    overrides: { "backoff_upside_down_by_override.S/M": { retry: { maxBackoff: { seconds: 10n } } } },
    problems: ["S/M: retry.initial_backoff: 20 s is longer than retry.max_backoff, 10 s"],
  },
  override_out_of_range: {
    body: policyOf(""),
    overrides: { "override_out_of_range.S/M": { concurrency: { limit: 0 } } },
    problems: [/S\/M: the operator's override: concurrency.limit: must be/],
  },
  override_clears_what_there_is_not: {
    body: policyOf(""),
    overrides: { "override_clears_what_there_is_not.S/M": { clear: ["fallback", "timeout.seconds", "clear"] } },
    problems: [
      'S/M: the operator\'s override: clear: a policy has no "fallback". Did you mean "fallbacks"?',
      'S/M: the operator\'s override: clear: a policy has no "timeout.seconds".',
      'S/M: the operator\'s override: clear: a policy has no "clear".',
    ],
  },
  contract_that_clears: {
    body: policyOf('clear: ["retry"]'),
    problems: [
      "S/M: option (retake.v1.workflow): clear: there is nothing that a contract could take back: leave it out",
    ],
  },
  override_misspelt: {
    body: policyOf(""),
    overrides: { "override_misspelt.S/N": {}, "elsewhere.Service/Method": {} },
    problems: [
      /S\/N: is configured under `workflows`, but no contract has it. Did you mean "override_misspelt.S\/M"\?$/,
      /^elsewhere.Service\/Method: is configured under `workflows`, but no contract has it.$/,
    ],
  },

  // Fallbacks.
  fallback_unknown: {
    body: policyOf('fallbacks: ["fallback_unknown.S/MM", "elsewhere.Service/Method"]'),
    problems: [
      /S\/M: fallbacks\[0\]: no contract has "fallback_unknown.S\/MM". Did you mean "fallback_unknown.S\/M"\?$/,
      /S\/M: fallbacks\[1\]: no contract has "elsewhere.Service\/Method".$/,
    ],
  },
  fallback_self: {
    body: policyOf('fallbacks: ["fallback_self.S/M"]'),
    problems: ["S/M: fallbacks[0]: a workflow cannot answer in its own place"],
  },
  fallback_no_workflow: {
    body: `service S { rpc M(In) returns (Out) { option (retake.v1.workflow) = { fallbacks: ["fallback_no_workflow.S/N"] }; }
                       rpc N(In) returns (Out); } message In {} message Out {}`,
    problems: ['S/M: fallbacks[0]: "fallback_no_workflow.S/N" is no workflow'],
  },
  fallback_cycle: {
    body: `service S { rpc A(In) returns (Out) { option (retake.v1.workflow) = { fallbacks: ["fallback_cycle.S/C"] }; }
                       rpc B(In) returns (Out) { option (retake.v1.workflow) = { fallbacks: ["fallback_cycle.S/A"] }; }
                       rpc C(In) returns (Out) { option (retake.v1.workflow) = { fallbacks: ["fallback_cycle.S/B", "fallback_cycle.S/D"] }; }
                       rpc D(In) returns (Out) { option (retake.v1.workflow) = {}; } }
           message In {} message Out {}`,
    problems: [
      /S\/A: fallbacks: they lead back to it: fallback_cycle.S\/A -> fallback_cycle.S\/C -> fallback_cycle.S\/B -> fallback_cycle.S\/A$/,
    ],
  },
  fallback_too_deep: {
    body: `service S { ${["A", "B", "C", "D", "E"]
      .map(
        (name, index) =>
          `rpc ${name}(In) returns (Out) { option (retake.v1.workflow) = { fallbacks: ["fallback_too_deep.S/${"BCDEF"[index]}"] }; }`,
      )
      .join("\n")}
      rpc F(In) returns (Out) { option (retake.v1.workflow) = {}; } }
      message In {} message Out { string text = 1; }`,
    problems: [
      /S\/A: fallbacks: they lead more than 4 deep: fallback_too_deep.S\/A -> .*S\/E -> fallback_too_deep.S\/F$/,
    ],
  },
  fallback_misfit: {
    body: `service S { rpc A(In) returns (Out) { option (retake.v1.workflow) = { fallbacks: ["fallback_misfit.S/B"] }; }
                       rpc B(Other) returns (Else) { option (retake.v1.workflow) = {}; } }
           message In { Inner inner = 1; string same = 2; } message Inner { repeated string words = 1; }
           message Other { OtherInner inner = 1; string same = 2; } message OtherInner { string words = 1; }
           message Out { int32 size = 1; } message Else { int64 size = 1; }`,
    problems: [
      'S/A: fallbacks[0]: fallback_misfit.S/B: the field "inner.words" of its request is repeated string in fallback_misfit.Inner, and string in fallback_misfit.OtherInner; name them alike with the same type, or name a converter (fallback_converters)',
      'S/A: fallbacks[0]: fallback_misfit.S/B: the field "size" of its response is int64 in fallback_misfit.Else, and int32 in fallback_misfit.Out; name',
    ],
  },
  fallback_without_answer: {
    body: `service S { rpc A(In) returns (Out) { option (retake.v1.workflow) = { fallbacks: ["fallback_without_answer.S/B"] }; }
                       rpc B(In) returns (Else) { option (retake.v1.workflow) = {}; } }
           message In {} message Out { string text = 1; } message Else { string words = 1; }`,
    problems: [
      'S/A: fallbacks[0]: fallback_without_answer.S/B: nothing of what it answers would arrive: fallback_without_answer.Out has no field named "words"',
    ],
  },
  fallback_result_is_update: {
    body: `service S { rpc A(In) returns (stream Out) { option (retake.v1.workflow) = { fallbacks: ["fallback_result_is_update.S/B"] }; }
                       rpc B(In) returns (Else) { option (retake.v1.workflow) = {}; } }
           message In {} message Else { string text = 1; }
           message Out { oneof update { string text = 1 [(retake.v1.update) = {}]; string film = 2; } }`,
    problems: [
      'S/A: fallbacks[0]: fallback_result_is_update.S/B: "text" is its result, and an update in fallback_result_is_update.Out',
    ],
  },
  converter_of_no_fallback: {
    body: `service S { rpc A(In) returns (Out) { option (retake.v1.workflow) = {
                         fallback_converters: { key: "converter_of_no_fallback.S/B" value: "c" } }; }
                       rpc B(In) returns (Out) { option (retake.v1.workflow) = {}; } }
           message In {} message Out {}`,
    problems: ['S/A: fallback_converters: "converter_of_no_fallback.S/B" is none of its fallbacks.'],
  },
  fallback_of_a_broken_workflow: {
    body: `service S { rpc A(In) returns (Out) { option (retake.v1.workflow) = { fallbacks: ["fallback_of_a_broken_workflow.S/B"] }; }
                       rpc B(stream In) returns (Out) { option (retake.v1.workflow) = {}; } } message In {} message Out {}`,
    problems: ["S/B: streams its requests"],
  },

  // The idempotency key.
  key_of_another_type: {
    body: requestOf("int64 id = 1 [(retake.v1.idempotency_key) = true];"),
    problems: ["In.id carries the idempotency key and is not a string"],
  },
  key_repeated: {
    body: requestOf("repeated string ids = 1 [(retake.v1.idempotency_key) = true];"),
    problems: ["In.ids carries the idempotency key and is repeated"],
  },
  key_in_a_oneof: {
    body: requestOf("oneof id { string a = 1 [(retake.v1.idempotency_key) = true]; string b = 2; }"),
    problems: ['In.a carries the idempotency key and is one of the alternatives of "id"'],
  },
  key_twice: {
    body: requestOf(
      "string a = 1 [(retake.v1.idempotency_key) = true]; string b = 2 [(retake.v1.idempotency_key) = true];",
    ),
    problems: ['In.b carries the idempotency key, and so does "a"'],
  },
  key_nested: {
    body: requestOf(
      "repeated Part parts = 1;",
      "message Part { string id = 1 [(retake.v1.idempotency_key) = true]; Part part = 2; }",
    ),
    problems: [/Part.id carries the idempotency key inside another message; mark a field of key_nested.In itself/],
  },

  key_in_a_request_of_two: {
    body: `service S { rpc A(In) returns (Out) { option (retake.v1.workflow) = {}; }
                       rpc B(In) returns (Out) { option (retake.v1.workflow) = {}; } }
           message In { int64 id = 1 [(retake.v1.idempotency_key) = true]; } message Out {}`,
    problems: ["S/A: field key_in_a_request_of_two.In.id carries the idempotency key and is not a string"],
  },

  // Quality rules.
  scale_of_text: {
    body: requestOf("string a = 1 [(retake.v1.quality).scale = {}];"),
    problems: ["In.a has the quality rule `scale`, which is for single numbers"],
  },
  scale_of_many: {
    body: requestOf("repeated int32 a = 1 [(retake.v1.quality).scale = {}];"),
    problems: ["In.a has the quality rule `scale`, which is for single numbers"],
  },
  scale_step_of_a_fraction: {
    body: requestOf("double a = 1 [(retake.v1.quality).scale = { step: 8 }];"),
    problems: ["In.a has the quality rule `scale` with a `step`, which is for integers"],
  },
  scale_min_no_number: {
    body: requestOf("double a = 1 [(retake.v1.quality).scale = { min: nan }];"),
    problems: ["In.a has the quality rule `scale` with a `min` that is no number"],
  },
  scale_step_out_of_range: {
    body: requestOf("int32 a = 1 [(retake.v1.quality).scale = { step: 0 }];"),
    problems: [/In.a option \(retake.v1.quality\): scale.step: must be/],
  },
  ladder_of_a_number: {
    body: requestOf("int32 a = 1 [(retake.v1.quality).ladder = {}];"),
    problems: ["In.a has the quality rule `ladder`, which is for single enums"],
  },
  ladder_to_nowhere: {
    body: requestOf("E a = 1 [(retake.v1.quality).ladder = { min: 7 }];", "enum E { E_UNSPECIFIED = 0; E_LOW = 3; }"),
    problems: [
      "In.a has the quality rule `ladder` with min: 7, which is no value of ladder_to_nowhere.E (0 E_UNSPECIFIED, 3 E_LOW)",
    ],
  },
  ladder_without_rungs: {
    body: requestOf("E a = 1 [(retake.v1.quality).ladder = {}];", "enum E { E_UNSPECIFIED = 0; }"),
    problems: ["In.a has the quality rule `ladder`, but there is no value above 0 in ladder_without_rungs.E"],
  },
  off_though_required: {
    body: requestOf(
      "string a = 1 [(buf.validate.field).required = true, (retake.v1.quality).off_below = QUALITY_HIGH];",
    ),
    problems: ["In.a has the quality rule `off_below`, but is required"],
  },
  off_though_key: {
    body: requestOf("string a = 1 [(retake.v1.idempotency_key) = true, (retake.v1.quality).off_below = QUALITY_HIGH];"),
    problems: ["In.a has the quality rule `off_below`, but carries the idempotency key"],
  },
  quality_without_rule: {
    body: requestOf("int32 a = 1 [(retake.v1.quality) = {}];"),
    problems: [/In.a option \(retake.v1.quality\): rule: exactly one field is required in oneof/],
  },
  quality_nested: {
    body: requestOf("map<string, Part> parts = 1;", "message Part { string a = 1 [(retake.v1.quality).scale = {}]; }"),
    problems: ["Part.a has the quality rule `scale`, which is for single numbers"],
  },

  // Validation rules.
  rule_without_sense: {
    body: requestOf(
      'Part part = 1; message Part { string a = 1 [(buf.validate.field).cel = { id: "a.b" expression: "this +" }]; }',
    ),
    problems: [
      /^rule_without_sense.In.Part.a: has the rule "a.b", `this \+`, which is no valid expression: syntax error/,
    ],
  },
  rules_without_sense_everywhere: {
    body: requestOf(
      `repeated string a = 1 [(buf.validate.field).repeated.items.cel = { id: "a" expression: "((" }];
       map<string, string> b = 2 [(buf.validate.field).map.keys.cel_expression = "1 2",
                                  (buf.validate.field).map.values.string.pattern = "(b"];
       optional string c = 3 [(buf.validate.field).string.pattern = "(c"];
       optional bytes d = 4 [(buf.validate.field).bytes.pattern = "[d"];
       oneof e { string f = 5 [(buf.validate.field).cel_expression = "this.nope()"]; }
       option (buf.validate.message).cel_expression = "this.a.all(x, true) && ";`,
    ),
    problems: [
      /In: has the rule `this.a.all\(x, true\) && `, which is no valid expression: syntax error/,
      /In.a: has the rule "a", `\(\(`, which is no valid expression: syntax error/,
      /In.b: has the rule `1 2`, which is no valid expression: syntax error/,
      /In.b: has the rule pattern: "\(b", which is no valid expression: error parsing regexp/,
      /In.c: has the rule pattern: "\(c", which is no valid expression: error parsing regexp/,
      /In.d: has the rule pattern: "\[d", which is no valid expression: error parsing regexp/,
      /In.f: has the rule `this.nope\(\)`, which is no valid expression: unbound function: nope/,
    ],
  },
  rule_of_another_type: {
    body: requestOf("int32 a = 1 [(buf.validate.field).string.min_len = 1];"),
    problems: [/^rule_of_another_type.In: has a rule that does not fit: .*string/],
  },
};

const accepted: Record<string, Case> = {
  key_of_a_request_inside_another: {
    body: `service S { rpc One(OneIn) returns (Out) { option (retake.v1.workflow) = {}; }
                       rpc Many(ManyIn) returns (Out) { option (retake.v1.workflow) = {}; } }
           message OneIn { string id = 1 [(retake.v1.idempotency_key) = true]; } message ManyIn { repeated OneIn items = 1; }
           message Out {}`,
    problems: [],
  },
  key_optional: {
    body: requestOf("optional string id = 1 [(retake.v1.idempotency_key) = true];"),
    problems: [],
  },
  quality_of_all_kinds: {
    body: requestOf(
      `int32 a = 1 [(retake.v1.quality).scale = { min: 8 step: 8 }];
       float b = 2 [(retake.v1.quality).scale = { min: 0.5 }];
       E c = 3 [(retake.v1.quality).ladder = { min: 3 }];
       repeated string d = 4 [(retake.v1.quality).off_below = QUALITY_FULL];`,
      "enum E { E_UNSPECIFIED = 0; E_LOW = 3; }",
    ),
    problems: [],
  },
  rules_that_need_a_value: {
    body: requestOf(
      `repeated int32 a = 1; google.protobuf.Timestamp at = 2 [(buf.validate.field).cel_expression = "this > now"];
       string b = 3 [(buf.validate.field).string.pattern = "^\\\\d+\\"$"];
       option (buf.validate.message).cel_expression = "this.a[0] > 10 / this.a[1]";`,
    ),
    problems: [],
  },
  request_that_holds_itself: {
    body: requestOf("In again = 1; map<string, In> more = 2;"),
    problems: [],
  },
  fallbacks_that_meet: {
    body: `service S { rpc A(In) returns (Out) { option (retake.v1.workflow) = { fallbacks: ["fallbacks_that_meet.S/B", "fallbacks_that_meet.S/C"] }; }
                       rpc B(In) returns (Out) { option (retake.v1.workflow) = { fallbacks: ["fallbacks_that_meet.S/C"] }; }
                       rpc C(In) returns (Out) { option (retake.v1.workflow) = {}; } } message In {} message Out {}`,
    problems: [],
  },
};

const types = await compileContracts(
  Object.fromEntries(
    Object.entries({ ...refused, ...accepted }).map(([name, { body }]) => [
      `${name}.proto`,
      contractSource(name, body),
    ]),
  ),
);

function read(service: DescService, overrides: Overrides = {}) {
  const problems: ContractProblem[] = [];
  const policies = Object.entries(overrides).map(([name, init]) => [name, create(WorkflowPolicySchema, init)] as const);
  const workflows = readWorkflows(
    {
      services: [service],
      overrides: Object.fromEntries(policies),
      types,
      validator: createValidator({ registry: types }),
    },
    problems,
  );
  return { workflows, problems: problems.map(({ where, message }) => `${where}: ${message}`) };
}

function serviceOf(name: string): DescService {
  const service = types.getService(`${name}.S`);
  if (service === undefined) throw new Error(`${name} has no service`);
  return service;
}

describe("readWorkflows", () => {
  it.each(Object.entries(refused))("refuses %s", (name, { overrides, problems: expected }) => {
    const { problems } = read(serviceOf(name), overrides);
    expect(problems).toEqual(
      expected.map((part) => (typeof part === "string" ? expect.stringContaining(part) : expect.stringMatching(part))),
    );
  });

  it.each(Object.entries(accepted))("accepts %s", (name, { overrides }) => {
    expect(read(serviceOf(name), overrides).problems).toEqual([]);
  });

  it("finds the problems of all contracts at once", () => {
    const problems: ContractProblem[] = [];
    const services = ["client_streaming", "key_twice", "rule_without_sense", "fallback_self"].map(serviceOf);
    readWorkflows({ services, overrides: {}, types, validator: createValidator({ registry: types }) }, problems);
    expect(problems.map(({ where }) => where).sort()).toEqual([
      "client_streaming.S/M",
      "fallback_self.S/M",
      "key_twice.S/M",
      "rule_without_sense.In.Part.a",
    ]);
  });

  it("refuses a policy that says more than this version knows", () => {
    const service = loadedAnew(ContractService, (file) => {
      const options = file.service[0]?.method[1]?.options;
      const newer = [{ no: 51170, wireType: 2, data: Uint8Array.of(5, 0x2a, 3, 0xf8, 1, 1) }];
      if (options) options.$unknown = newer;
    });
    expect(read(service).problems).toEqual([
      expect.stringContaining(
        "ContractService/Draft: option (retake.v1.workflow): sets the field 31 of retake.v1.RetryPolicy, which this version does not know",
      ),
    ]);
  });
});

describe.each([
  ["generated descriptors", ContractService],
  ["descriptors out of a set", loadedAnew(ContractService)],
])("workflows of %s", (_, service) => {
  const { workflows, problems } = read(service);
  const workflow = (method: string): Workflow => {
    const found = workflows.get(`retake.test.v1.ContractService/${method}`);
    if (found === undefined) throw new Error(`no workflow ${method}`);
    return found;
  };

  it("are the methods that carry the option, by name", () => {
    expect(problems).toEqual([]);
    expect([...workflows.keys()]).toEqual([
      "retake.test.v1.ContractService/Draft",
      "retake.test.v1.ContractService/Render",
      "retake.test.v1.ContractService/Transcribe",
    ]);
  });

  it("tell their types and kind", () => {
    const render = workflow("Render");
    expect(render.service).toBe(service);
    expect(render.method.name).toBe("Render");
    expect(render.input.typeName).toBe("retake.test.v1.RenderRequest");
    expect(render.output.typeName).toBe("retake.test.v1.RenderResponse");
    expect([render.streaming, workflow("Draft").streaming]).toEqual([true, false]);
  });

  it("carry the policy that was declared", () => {
    const { policy, declared } = workflow("Render");
    expect(policy).toMatchObject({
      timeoutMs: 3_600_000,
      attemptTimeoutMs: 600_000,
      progressTimeoutMs: 300_000,
      retry: { maxAttempts: 4, initialBackoffMs: 500, maxBackoffMs: 30_000, backoffMultiplier: 1.5 },
      concurrency: { limit: 2, queueLimit: 1_000, perPrincipal: 1 },
      circuitBreaker: { windowMs: 1_800_000, successThreshold: 2, onOpen: "park" },
      fallbacks: ["retake.test.v1.ContractService/Draft"],
      access: { groups: ["artists"], condition: "principal.tenant == 'default'" },
      onInterrupt: "fail",
      maxInterruptions: 7,
      callerGraceMs: 10_000,
      cancelGraceMs: 3_000,
      retention: { succeededMs: 60_000, unsuccessfulMs: 120_000 },
      forwardMetadata: ["x-project"],
    });
    expect(policy.recovery[0]).toMatchObject({ timeoutMs: 5_000, cooldownMs: 0 });
    expect(declared.maxInterruptions).toBe(7);
  });

  it("name their policy by its digest, which changes with every override", () => {
    const draft = workflow("Draft");
    expect(draft.policyRevision).toBe("e3b0c44298fc1c14");
    const overridden = read(service, { [draft.name]: { timeout: { seconds: 1n } } }).workflows.get(draft.name);
    expect(overridden?.policyRevision).toMatch(/^[0-9a-f]{16}$/);
    expect(overridden?.policyRevision).not.toBe(draft.policyRevision);
    expect(overridden?.policy.timeoutMs).toBe(1_000);
    expect(overridden?.contractSha256).toEqual(draft.contractSha256);
  });

  it("include a method that only the operator declares one", () => {
    const name = "retake.test.v1.ContractService/Bare";
    const declared = read(service, { [name]: { retry: { maxAttempts: 2 } } });
    expect(declared.problems).toEqual([]);
    expect(declared.workflows.get(name)?.policy.retry?.maxAttempts).toBe(2);
  });

  it("read the key that a request carries", () => {
    const request = create(RenderRequestSchema, { requestId: "order-7" });
    expect(inputKey(workflow("Render"), fromBinary(RenderRequestSchema, toBinary(RenderRequestSchema, request)))).toBe(
      "order-7",
    );
    expect(inputKey(workflow("Render"), create(RenderRequestSchema))).toBe("");
    expect(inputKey(workflow("Draft"), create(DraftRequestSchema, { prompt: "x" }))).toBe("");
  });
});

describe("a key in an optional field", () => {
  it("is empty where the field is not set", () => {
    const service = serviceOf("key_optional");
    const found = read(service).workflows.get("key_optional.S/M");
    if (found === undefined) throw new Error("no workflow");
    expect(inputKey(found, create(found.input))).toBe("");
    expect(inputKey(found, create(found.input, { id: "x" }))).toBe("x");
  });
});
