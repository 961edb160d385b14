import type { DescFile, DescMessage, DescService, Registry } from "@bufbuild/protobuf";
import type { Validator } from "@bufbuild/protovalidate";
import type { WorkflowPolicy } from "../../gen/retake/v1/options_pb.js";
import { collectFiles } from "./collect-files.ts";
import { type CompiledRules, compiledRules } from "./compiled-rules.ts";
import { ContractError, type ContractProblem } from "./contract-error.ts";
import type { Converters } from "./mapping/converter.ts";
import { FallbackMappings } from "./mapping/fallback-mappings.ts";
import { readWorkflows } from "./read-workflows.ts";
import type { Workflow } from "./workflow.ts";

/** What a server executes and shows. */
export interface Contracts {
  /** The services whose methods are workflows; generated, or out of a descriptor set. */
  readonly services: readonly DescService[];
  /** The services of the server itself, which are shown beside the contracts. Default: none. */
  readonly ownServices?: readonly DescService[];
  /** What the operator overrides of a workflow's policy, by its name. Default: nothing. */
  readonly overrides?: Readonly<Record<string, WorkflowPolicy>>;
  /** The converters that policies may name. Default: they are not known, and taken to be right. */
  readonly converters?: Converters;
}

/**
 * The one registry of all contracts and of the server's own services. Decoder, validator, reflection and every JSON
 * surface read it, and see at once what `replace` puts in its place.
 */
export interface ContractRegistry {
  /** Counts the replacements: whoever derives something from the contents derives it anew when this changes. */
  readonly revision: number;
  /** By name, in alphabetical order. */
  readonly workflows: ReadonlyMap<string, Workflow>;
  /** The contracts and the server's own services, by full name, in alphabetical order. */
  readonly services: ReadonlyMap<string, DescService>;
  /** Between workflows and their fallbacks. Others after a replacement. */
  readonly mappings: FallbackMappings;
  /** All types of all files. The same object over all replacements. */
  readonly registry: Registry;
  /** Knows the rules of all types, predefined ones included. Another one after a replacement. */
  readonly validator: Validator;
  /** All that is served. */
  readonly contents: ReadContracts;
  /** All files, each after its imports. */
  files(): readonly DescFile[];
  /** By its import path: "storycore/video/v1/video.proto". */
  findFile(name: string): DescFile | undefined;
  /** Reads other contracts, without serving them. @throws ContractError with everything that is wrong with them */
  read(contracts: Contracts): ReadContracts;
  /** Serves what `read` has answered, in place of what there is. */
  replace(contracts: ReadContracts): void;
}

/** Contracts that can be served. */
export interface ReadContracts extends CompiledRules {
  /** By name, in alphabetical order. */
  readonly workflows: ReadonlyMap<string, Workflow>;
  /** The contracts and the server's own services, by full name, in alphabetical order. */
  readonly services: ReadonlyMap<string, DescService>;
  /** All files by their import path, each after its imports. */
  readonly files: ReadonlyMap<string, DescFile>;
  readonly mappings: FallbackMappings;
  /** Out of what they were read. */
  readonly source: Contracts;
}

/** @throws ContractError with everything that is wrong with the contracts */
export function createContractRegistry(contracts: Contracts): ContractRegistry {
  let current = read(contracts);
  let revision = 1;
  return {
    get revision() {
      return revision;
    },
    get workflows() {
      return current.workflows;
    },
    get services() {
      return current.services;
    },
    get mappings() {
      return current.mappings;
    },
    registry: liveRegistry(() => current.types),
    get validator() {
      return current.validator;
    },
    get contents() {
      return current;
    },
    files: () => [...current.files.values()],
    findFile: (name) => current.files.get(name),
    read,
    replace(next) {
      current = next;
      revision += 1;
    },
  };
}

function read(source: Contracts): ReadContracts {
  const { services: contracts, ownServices = [], overrides = {}, converters } = source;
  const problems: ContractProblem[] = [];
  const services = byName([...ownServices, ...contracts], problems);
  const files = collectFiles([...ownServices, ...contracts], problems);
  const rules = compiledRules([...files.values()]);
  const mappings = new FallbackMappings(converters);
  const workflows = readWorkflows({ ...rules, services: contracts, overrides, mappings }, problems);
  if (problems.length > 0) throw new ContractError(problems);
  return { ...rules, workflows, services, files, mappings, source };
}

function byName(services: readonly DescService[], problems: ContractProblem[]): ReadonlyMap<string, DescService> {
  const found = new Map<string, DescService>();
  for (const service of services) {
    if (found.has(service.typeName)) {
      problems.push({ where: service.typeName, message: "is registered twice. A service has one contract" });
    }
    found.set(service.typeName, service);
  }
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function liveRegistry(current: () => Registry): Registry {
  return {
    kind: "registry",
    [Symbol.iterator]: () => current()[Symbol.iterator](),
    get: (typeName) => current().get(typeName),
    getMessage: (typeName) => current().getMessage(typeName),
    getEnum: (typeName) => current().getEnum(typeName),
    getExtension: (typeName) => current().getExtension(typeName),
    getExtensionFor: (extendee: DescMessage, no) => current().getExtensionFor(extendee, no),
    getService: (typeName) => current().getService(typeName),
  };
}
