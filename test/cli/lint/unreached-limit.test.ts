import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { WorkflowPolicySchema } from "../../../gen/retake/v1/options_pb.js";
import { unreachedLimit } from "../../../src/cli/lint/unreached-limit.ts";
import { createContractRegistry } from "../../../src/contract/index.ts";
import { AccessService } from "../../gen/retake/test/v1/access_pb.js";

const seconds = (count: number) => ({ seconds: BigInt(count) });

function findings(policy: MessageInitShape<typeof WorkflowPolicySchema>): string[] {
  const [method] = AccessService.methods;
  const name = `${AccessService.typeName}/${method?.name}`;
  const overrides = { [name]: create(WorkflowPolicySchema, policy) };
  const { workflows, mappings } = createContractRegistry({ services: [AccessService], overrides });
  return [...unreachedLimit({ contracts: { files: new Map(), sources: new Map() } as never, workflows, mappings })].map(
    ({ message }) => message,
  );
}

it.each([
  ["attempt_timeout 1 min 30 s", "timeout is 1 min 00 s", { timeout: seconds(60), attemptTimeout: seconds(90) }],
  [
    "progress_timeout 1 min 30 s",
    "attempt_timeout is 1 min 00 s",
    { attemptTimeout: seconds(60), progressTimeout: seconds(90) },
  ],
  ["progress_timeout 1 min 30 s", "timeout is 1 min 00 s", { timeout: seconds(60), progressTimeout: seconds(90) }],
  ["retry.initial_backoff 9.0 s", "timeout is 5.0 s", { timeout: seconds(5), retry: { initialBackoff: seconds(9) } }],
])("tells %s where %s", (limit, before, policy) => {
  const found = findings(policy);
  expect(found).toHaveLength(1);
  expect(found[0]).toContain(limit);
  expect(found[0]).toContain(before);
});

it.each([
  ["limits that agree", { timeout: seconds(60), attemptTimeout: seconds(60), progressTimeout: seconds(60) }],
  ["a backoff that nobody waits for", { timeout: seconds(5), retry: { initialBackoff: seconds(9), maxAttempts: 1 } }],
  ["defaults", {}],
])("has nothing to say of %s", (_, policy) => {
  expect(findings(policy)).toEqual([]);
});
