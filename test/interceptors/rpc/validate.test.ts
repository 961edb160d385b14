import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createRouterTransport, type Interceptor } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { BadRequestSchema } from "../../../gen/google/rpc/error_details_pb.js";
import { ListAuditRecordsRequestSchema } from "../../../gen/retake/v1/audit_pb.js";
import { createContractRegistry } from "../../../src/contract/index.ts";
import { createRequestValidator, validateRequests } from "../../../src/interceptors/rpc/validate.ts";
import { compileContracts, contractSource } from "../../contract/compile-contracts.ts";
import { ContractService, DraftRequestSchema, RenderRequestSchema } from "../../gen/retake/test/v1/contracts_pb.js";

const contracts = createContractRegistry({ services: [ContractService] });
const validator = createRequestValidator(contracts);

const render = (init: MessageInitShape<typeof RenderRequestSchema>) =>
  create(RenderRequestSchema, { prompt: "a sunset", steps: 30, ...init });

function refusal(act: () => unknown): ConnectError {
  try {
    act();
  } catch (error) {
    return ConnectError.from(error);
  }
  throw new Error("nothing was refused");
}

function violationsOf(error: ConnectError) {
  const [details] = error.findDetails(BadRequestSchema);
  return (details?.fieldViolations ?? []).map(({ field, description, reason }) => ({ field, description, reason }));
}

async function collect<T>(messages: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const message of messages) all.push(message);
  return all;
}

describe("validate", () => {
  it("takes what keeps the rules", () => {
    expect(() => validator.validate(RenderRequestSchema, render({}))).not.toThrow();
    expect(() => validator.validate(DraftRequestSchema, create(DraftRequestSchema))).not.toThrow();
  });

  it("reports every violation at once, each with its field, words and rule", () => {
    const message = render({
      prompt: "",
      steps: 0,
      upscale: true,
      shots: [{ caption: "short" }, { takes: [{ caption: "much too long" }] }],
      labels: { "a long label": "x" },
    });
    const error = refusal(() => validator.validate(RenderRequestSchema, message));
    expect(error.code).toBe(Code.InvalidArgument);
    expect(violationsOf(error)).toEqual(
      expect.arrayContaining([
        { field: "prompt", description: "must be at least 1 characters", reason: "string.min_len" },
        {
          field: "steps",
          description: "must be greater than or equal to 1 and less than or equal to 200",
          reason: "int32.gte_lte",
        },
        { field: "shots[1].takes[0].caption", description: "must be at most 10 characters", reason: "string.max_len" },
        {
          field: 'labels["a long label"]',
          description: "the key must be at most 8 characters",
          reason: "string.max_len",
        },
        { field: "", description: "upscaling takes 20 steps at least", reason: "render.steps_for_upscale" },
      ]),
    );
    expect(error.rawMessage).toContain("invalid retake.test.v1.RenderRequest: ");
    expect(error.rawMessage).toContain("prompt: must be at least 1 characters; ");
    expect(error.rawMessage).toContain("upscaling takes 20 steps at least");
  });

  it("takes times beyond all calendars for what they are", () => {
    const filter = { since: { seconds: 2n ** 63n - 1n }, until: { seconds: 1n } };
    const request = create(ListAuditRecordsRequestSchema, { filter });
    const error = refusal(() => validator.validate(ListAuditRecordsRequestSchema, request));
    expect(error.code).toBe(Code.InvalidArgument);
    expect(violationsOf(error)).toMatchObject([{ field: "filter.since", reason: "timestamp.gte_lte" }]);
  });

  it("keeps its details small enough for metadata, however much is wrong", () => {
    const message = render({
      labels: Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`key number ${i}`, ""])),
    });
    const error = refusal(() => validator.validate(RenderRequestSchema, message));
    const violations = violationsOf(error);
    expect(violations.length).toBeGreaterThan(30);
    expect(violations.at(-1)?.description).toBe(`and ${5_000 - (violations.length - 1)} more violations`);
    expect(error.rawMessage).toMatch(/; and 4995 more$/);
    const [details] = error.findDetails(BadRequestSchema);
    expect(JSON.stringify(details).length).toBeLessThan(12_000);
  });

  it("cuts the path of a caller's endless key", () => {
    const message = render({ labels: { ["\u{1F600}".repeat(10_000)]: "" } });
    const [violation] = violationsOf(refusal(() => validator.validate(RenderRequestSchema, message)));
    expect(violation?.field).toMatch(/^labels\["\u{1F600}+.…$/u);
    expect(violation?.field.length).toBeLessThan(300);
    expect(violation?.field.isWellFormed()).toBe(true);
  });
});

describe("the rules of descriptors out of a set", async () => {
  const compiled = await compileContracts({
    "rules.proto": `edition = "2023"; package rules; import "buf/validate/validate.proto";
      extend buf.validate.StringRules {
        bool quiet = 51180 [(buf.validate.predefined).cel = {
          id: "string.quiet" message: "no shouting" expression: "!rule || this == this.lowerAscii()" }];
      }`,
    "dynamic.proto": contractSource(
      "dynamic",
      `service S { rpc M(In) returns (Out) { option (retake.v1.workflow) = {}; } }
       message In { string a = 1 [(buf.validate.field).string.(rules.quiet) = true]; repeated int32 b = 2;
         google.protobuf.Timestamp t = 3 [(buf.validate.field).cel = {
           id: "late" message: "is late" expression: "this.getFullYear() > 2000" }];
         option (buf.validate.message).cel = { id: "first" message: "b starts with 1" expression: "this.a == '' || this.b[0] == 1" }; }
       message Out {}`,
    ).replace("import", 'import "rules.proto"; import'),
  });
  const service = compiled.getService("dynamic.S");
  const input = compiled.getMessage("dynamic.In");
  if (service === undefined || input === undefined) throw new Error("the contract is lost");

  it("include predefined ones that only the contract knows", () => {
    const dynamic = createRequestValidator(createContractRegistry({ services: [service] }));
    expect(() => dynamic.validate(input, create(input, { a: "psst", b: [1] }))).not.toThrow();
    const error = refusal(() => dynamic.validate(input, create(input, { a: "HEY", b: [1] })));
    expect(violationsOf(error)).toEqual([{ field: "a", description: "no shouting", reason: "string.quiet" }]);
  });

  it("cannot be applied to times that are none, for which whoever sends them is told so", () => {
    const dynamic = createRequestValidator(createContractRegistry({ services: [service] }));
    const init = { a: "", t: { $typeName: "google.protobuf.Timestamp" as const, seconds: 2n ** 63n - 1n, nanos: 0 } };
    const error = refusal(() => dynamic.validate(input, create(input, init)));
    expect(error.code).toBe(Code.InvalidArgument);
    expect(violationsOf(error)).toEqual([
      {
        field: "t",
        description: "must be a time from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999999Z",
        reason: "time.well_formed",
      },
    ]);
  });

  it("are those of the contracts that were put in place last", () => {
    const live = createContractRegistry({ services: [ContractService] });
    const dynamic = createRequestValidator(live);
    dynamic.validate(RenderRequestSchema, render({}));
    live.replace(live.read({ services: [service] }));
    const error = refusal(() => dynamic.validate(input, create(input, { a: "HEY", b: [1] })));
    expect(violationsOf(error)).toHaveLength(1);
  });

  it("are the contract's fault where they cannot be applied", () => {
    const dynamic = createRequestValidator(createContractRegistry({ services: [service] }));
    const error = refusal(() => dynamic.validate(input, create(input, { a: "psst" })));
    expect(error.code).toBe(Code.Internal);
    expect(error.rawMessage).toContain(
      "a validation rule of dynamic.In cannot be applied to this request: index 0 out of bounds",
    );
    expect(error.cause).toBeInstanceOf(Error);
  });
});

describe("the interceptor", () => {
  const called: string[] = [];
  const interceptors: Interceptor[] = [validateRequests(validator)];
  const transport = createRouterTransport(
    (router) =>
      router.service(ContractService, {
        render: async function* (request) {
          called.push(request.prompt);
          yield { update: { case: "film", value: {} } };
        },
        draft: ({ prompt }) => ({ text: prompt }),
      }),
    { router: { interceptors } },
  );
  const client = createClient(ContractService, transport);

  it("lets through what keeps the rules, and types without rules as they are", async () => {
    called.length = 0;
    expect(await collect(client.render(render({})))).toHaveLength(1);
    expect((await client.draft({ prompt: "x" })).text).toBe("x");
    expect(called).toEqual(["a sunset"]);
  });

  it("refuses a streaming call before its handler sees the request", async () => {
    called.length = 0;
    const error = await collect(client.render(render({ steps: 0 }))).catch(ConnectError.from);
    expect(error).toBeInstanceOf(ConnectError);
    expect(violationsOf(error as ConnectError).map(({ field }) => field)).toEqual(["steps"]);
    expect(called).toEqual([]);
  });

  it("refuses a unary call, and hands a failure to read the message on", async () => {
    const next = validateRequests(validator)(async () => {
      throw new Error("called");
    });
    const unary = { stream: false, method: { ...ContractService.method.draft, input: RenderRequestSchema } };
    const refused = next({ ...unary, message: render({ steps: 0 }) } as never);
    await expect(refused).rejects.toMatchObject({ code: Code.InvalidArgument });
    const unreadable = {
      ...unary,
      get message() {
        throw new ConnectError("cannot decode", Code.InvalidArgument);
      },
    };
    await expect(next(unreadable as never)).rejects.toThrow("cannot decode");
  });

  it("validates each message of a stream of requests as it comes, and builds nothing that nobody asks for", async () => {
    let built = 0;
    const request = {
      stream: true,
      method: { ...ContractService.method.render, methodKind: "bidi_streaming" },
      message: (async function* () {
        yield render({});
        yield render({ steps: 0 });
      })(),
      get header() {
        built += 1;
        return new Headers();
      },
    };
    const seen: unknown[] = [];
    const call = validateRequests(validator)(async (given) => {
      for await (const message of given.message as AsyncIterable<unknown>) seen.push(message);
      return undefined as never;
    });
    await expect(call(request as never)).rejects.toMatchObject({ code: Code.InvalidArgument });
    expect(seen).toHaveLength(1);
    expect(built).toBe(0);
  });
});
