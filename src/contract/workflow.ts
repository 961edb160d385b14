import type {
  DescField,
  DescMessage,
  DescMethod,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  Message,
} from "@bufbuild/protobuf";
import type { WorkflowPolicy } from "../../gen/retake/v1/options_pb.js";
import type { Policy } from "./policy.ts";
import type { Updates } from "./updates.ts";

/** A method that is executed as a workflow, with everything that its contract and the operator say about it. */
export interface Workflow {
  /** `package.Service/Method`. */
  readonly name: string;
  readonly service: DescService;
  readonly method: DescMethodUnary | DescMethodServerStreaming;
  readonly input: DescMessage;
  readonly output: DescMessage;
  /** Whether it streams updates before its result. */
  readonly streaming: boolean;
  /** With every default filled in. */
  readonly policy: Policy;
  /** What was declared: the contract's option with the operator's override. */
  readonly declared: WorkflowPolicy;
  /** Names the declared policy: the first eight bytes of its SHA-256, in hex. */
  readonly policyRevision: string;
  /** Names the contract: the SHA-256 of its `contractSet`. */
  readonly contractSha256: Uint8Array;
  /** The field of a request that carries the caller's idempotency key. */
  readonly keyField?: DescField;
  /** What the messages of its response are. */
  readonly updates: Updates;
  /** Whether its input, or its updates and result, can refer to artifacts. */
  readonly inputArtifacts: boolean;
  readonly outputArtifacts: boolean;
  /** Whether fields of its input or output are marked `debug_redact`. */
  readonly sensitive: boolean;
  /** Whether fields of its input carry quality rules. */
  readonly inputQuality: boolean;
  /** Whether its runs may ask for less than FULL: by the rules of its input, or by its policy. */
  readonly degradable: boolean;
}

/** The name of a method as a workflow: its gRPC path without the slash in front. */
export function workflowName(method: Pick<DescMethod, "name" | "parent">): string {
  return `${method.parent.typeName}/${method.name}`;
}

/** The idempotency key that a request carries in its marked field; empty without one. */
export function inputKey(workflow: Workflow, message: Message): string {
  if (workflow.keyField === undefined) return "";
  return ((message as unknown as Record<string, unknown>)[workflow.keyField.localName] as string | undefined) ?? "";
}
