import { type DescField, type DescFile, type DescMessage, hasOption } from "@bufbuild/protobuf";
import { update } from "../../../gen/retake/v1/options_pb.js";
import { ProgressSchema } from "../../../gen/retake/v1/run_pb.js";
import { type FallbackMappings, type Placed, placeOf, type Workflow } from "../../contract/index.ts";
import type { CompiledContracts } from "../sources/compile.ts";
import { importFix } from "../sources/explain-compile-error.ts";
import type { Finding, Fix } from "../sources/finding.ts";

/** Contracts that can be served, for rules that look at what will hurt. */
export interface Linted {
  readonly contracts: CompiledContracts;
  /** By name. */
  readonly workflows: ReadonlyMap<string, Workflow>;
  /** Between them and their fallbacks. */
  readonly mappings: FallbackMappings;
}

/** Looks at contracts for one kind of thing. */
export type LintRule = (linted: Linted) => Iterable<Finding>;

/** A finding about an element, at its place. */
export function findingAt(
  element: Placed,
  { files }: CompiledContracts,
  about: Pick<Finding, "severity" | "rule" | "message" | "fixes">,
): Finding {
  const place = placeOf(element);
  const { file } = element.kind === "field" || element.kind === "rpc" ? element.parent : element;
  const name = file.proto.name;
  return { ...about, file: files.get(name) ?? name, line: place?.line ?? 0, column: place?.column ?? 0 };
}

/** The line of source that an element begins with; empty where there is no source. */
export function sourceLine(element: Placed, { sources }: CompiledContracts): string {
  const place = placeOf(element);
  return place === undefined ? "" : (sources.get(place.file)?.split("\n")[place.line - 1] ?? "").trim();
}

/** What a file must import, where it does not yet. */
export function importing(name: string, { proto }: DescFile): Fix[] {
  return proto.dependency.includes(name) ? [] : importFix(name, "");
}

/** Whether a comment at an element silences a rule: `// retake:ignore long-unary`. */
export function isIgnored(rule: string, element: Placed): boolean {
  return (
    placeOf(element)?.comments.some((text) =>
      [...text.matchAll(/retake:ignore((?:[ ,]+[a-z-]+)+)/g)].some(([, names = ""]) =>
        names.split(/[ ,]+/).includes(rule),
      ),
    ) === true
  );
}

/** Whether a member of a response is sent while the run works, and so is not its result. */
export function isUpdate(field: DescField): boolean {
  return hasOption(field, update) || field.message?.typeName === ProgressSchema.typeName;
}

/** A message's name within its package. */
export function shortName({ typeName, file }: DescMessage): string {
  return file.proto.package === "" ? typeName : typeName.slice(file.proto.package.length + 1);
}
