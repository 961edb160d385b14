import type { DescService } from "@bufbuild/protobuf";
import type { WorkflowPolicy } from "../../../gen/retake/v1/options_pb.js";
import { ContractError, type ContractRegistry, createContractRegistry, offeredServices } from "../../contract/index.ts";
import { accessProblems } from "../../security/index.ts";
import type { CompiledContracts } from "../sources/compile.ts";
import type { Finding } from "../sources/finding.ts";
import { contractFindings } from "./contract-findings.ts";
import type { LintRule } from "./linted.ts";
import { longUnary } from "./long-unary.ts";
import { longUnkeyed } from "./long-unkeyed.ts";
import { lossyFallback } from "./lossy-fallback.ts";
import { missingRules } from "./missing-rules.ts";
import { unreachedLimit } from "./unreached-limit.ts";

const rules: readonly LintRule[] = [longUnary, longUnkeyed, lossyFallback, missingRules, unreachedLimit];

/** What an operator says of the policies, by the workflow's name. */
export type Overrides = Readonly<Record<string, WorkflowPolicy>>;

export interface LintedContracts {
  /** Errors alone where there are any: nobody can tell what else a broken contract means. By file and line. */
  readonly findings: readonly Finding[];
  /** As the server would have it; undefined where a contract is broken. */
  readonly registry: ContractRegistry | undefined;
}

/** Looks at contracts as the server would, then for what will hurt. */
export function lintContracts(contracts: CompiledContracts, overrides: Overrides = {}): LintedContracts {
  const services = contractServices(contracts, overrides);
  if (services.length === 0) return { findings: [withoutService(contracts)], registry: undefined };
  try {
    const registry = createContractRegistry({ services, overrides });
    const wrong = accessProblems(registry.contents);
    if (wrong.length > 0) throw new ContractError(wrong);
    const { workflows, mappings } = registry;
    const findings = rules.flatMap((rule) => [...rule({ contracts, workflows, mappings })]);
    return { findings: sorted(findings), registry };
  } catch (error) {
    if (!(error instanceof ContractError)) throw error;
    return { findings: sorted(contractFindings(error.problems, contracts)), registry: undefined };
  }
}

/** Those with workflows; where nobody has one, all of them, so that what is missing can be told. */
function contractServices({ registry, files }: CompiledContracts, overrides: Overrides): readonly DescService[] {
  const own = [...registry.files].filter(({ proto }) => files.has(proto.name));
  const { withWorkflows, others } = offeredServices(own, overrides);
  return withWorkflows.length === 0 ? others : withWorkflows;
}

function withoutService({ files }: CompiledContracts): Finding {
  const [file = ""] = files.values();
  return {
    severity: "error",
    rule: "contract",
    file,
    line: 0,
    column: 0,
    message: "no service is declared here, so there is nothing to run",
    fixes: [
      {
        where: "at the end of the file",
        lines: [
          "service StudioService {",
          "  rpc Draw(DrawRequest) returns (DrawResponse) {",
          "    option (retake.v1.workflow) = {};",
          "  }",
          "}",
          "",
          "message DrawRequest {",
          "}",
          "",
          "message DrawResponse {",
          "}",
        ],
      },
      { where: "below the line that names its package", lines: ['import "retake/v1/options.proto";'] },
    ],
  };
}

function sorted(findings: readonly Finding[]): Finding[] {
  return findings.toSorted((a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : a.line - b.line));
}
