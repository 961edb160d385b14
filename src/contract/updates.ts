import {
  create,
  type DescField,
  type DescMessage,
  type DescOneof,
  getOption,
  hasOption,
  isFieldSet,
  type Message,
} from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { UpdateKeep, UpdateOptionsSchema, update } from "../../gen/retake/v1/options_pb.js";
import { type Progress, ProgressSchema } from "../../gen/retake/v1/run_pb.js";
import { suggestion } from "../nearest-name.ts";
import { ruleViolations } from "./rule-violations.ts";

/** What one message of a response stream is. A message that sets any update is no result. */
export type ResponsePart =
  | { readonly kind: "progress"; readonly progress: Progress }
  /** `progress` is there when the same message carries that too. */
  | { readonly kind: "update"; readonly keep: "latest" | "all"; readonly progress?: Progress }
  | { readonly kind: "result" };

/** Reads and builds the messages of a workflow's response stream. */
export interface Updates {
  /** Called for each message of a stream: as cheap as one look-up for updates in a oneof. */
  classifyUpdate(message: Message): ResponsePart;
  /** Whether a member of the response is an update. */
  isUpdate(member: DescField): boolean;
  /** A response message that carries the progress; undefined where the contract has no member for it. */
  progressUpdate(progress: Progress): Message | undefined;
}

/** The one answer of a unary workflow is its result. */
export const unaryUpdates: Updates = {
  classifyUpdate: () => result,
  isUpdate: () => false,
  progressUpdate: () => undefined,
};

/**
 * Finds the updates among the members of a streaming response, and the one result that is left.
 *
 * Members of type `Progress`, or marked `(retake.v1.update)`, or named by the policy (`updates`), are updates. Without them
 * there must be exactly one possible result: at most one other member in the oneofs that hold updates, and at least one
 * member that is no update. Everything outside those oneofs belongs to the result, as it would in a unary response.
 *
 * @returns the shape, or what is wrong with it
 */
export function readUpdates(
  output: DescMessage,
  named: readonly string[] = [],
): Updates | { readonly problems: readonly UpdateProblem[] } {
  const marks = output.fields.flatMap((field) => markOf(field, named) ?? []);
  const problems = [
    ...nameProblems(output, named),
    ...optionProblems(marks),
    ...presenceProblems(marks),
    ...resultProblems(output, marks),
  ];
  return problems.length > 0 ? { problems } : compile(output, marks);
}

export interface UpdateProblem {
  /** The member that it is about; the response as a whole without one. */
  readonly field?: DescField;
  readonly message: string;
}

interface Mark {
  readonly field: DescField;
  readonly kind: "progress" | "latest" | "all";
  readonly carriesProgress: boolean;
}

const result: ResponsePart = { kind: "result" };

function markOf(field: DescField, named: readonly string[]): Mark | undefined {
  const carriesProgress = field.fieldKind === "message" && field.message.typeName === ProgressSchema.typeName;
  if (!hasOption(field, update)) {
    if (carriesProgress) return { field, kind: "progress", carriesProgress };
    return named.includes(field.name) ? { field, kind: "latest", carriesProgress } : undefined;
  }
  if (getOption(field, update).keep === UpdateKeep.ALL) return { field, kind: "all", carriesProgress };
  return { field, kind: carriesProgress ? "progress" : "latest", carriesProgress };
}

function nameProblems(output: DescMessage, named: readonly string[]): UpdateProblem[] {
  const names = output.fields.map(({ name }) => name);
  return named
    .filter((name) => !names.includes(name))
    .map((name) => ({
      message: `updates: ${output.typeName} has no member "${name}".${suggestion(name, names)}`,
    }));
}

function optionProblems(marks: readonly Mark[]): UpdateProblem[] {
  return marks.flatMap(({ field }) =>
    ruleViolations(UpdateOptionsSchema, getOption(field, update)).map(({ message }) => ({
      field,
      message: `option (retake.v1.update): ${message}`,
    })),
  );
}

function presenceProblems(marks: readonly Mark[]): UpdateProblem[] {
  return marks
    .filter(({ field }) => field.presence !== FeatureSet_FieldPresence.EXPLICIT)
    .map(({ field }) => ({
      field,
      message:
        "is an update without presence: a message in which it is empty would be taken for the result. " +
        'Put it into a oneof, or declare it "optional" or as a message',
    }));
}

function resultProblems(output: DescMessage, marks: readonly Mark[]): UpdateProblem[] {
  if (marks.length === 0) {
    return [
      {
        message:
          "streams messages of which each could be the result. Mark the members that are updates with " +
          "(retake.v1.update), name them in the policy (updates), add one of type retake.v1.Progress, or make the " +
          "method unary",
      },
    ];
  }
  const updates = new Set(marks.map(({ field }) => field));
  const others = output.fields.filter((field) => !updates.has(field));
  if (others.length === 0) {
    return [{ message: "has no possible result: every member of its response is an update" }];
  }
  const oneofs = new Set(marks.flatMap(({ field }) => field.oneof ?? []));
  const results = others.filter(({ oneof }) => oneof !== undefined && oneofs.has(oneof));
  if (results.length <= 1) return [];
  return [
    {
      message:
        `has several possible results: ${results.map(({ name }) => name).join(", ")}. ` +
        "Mark those that are updates with (retake.v1.update), name them in the policy (updates), or put the alternatives into a message of their own",
    },
  ];
}

type OneofValue = { readonly case: string | undefined; readonly value?: unknown };

/** Sorted by what decides first: a oneof answers for all of its members at once. */
function compile(output: DescMessage, marks: readonly Mark[]): Updates {
  const byOneof = new Map<DescOneof, Map<string, Mark>>();
  const plain: Mark[] = [];
  for (const mark of marks) {
    const { oneof, localName } = mark.field;
    if (oneof === undefined) plain.push(mark);
    else byOneof.set(oneof, (byOneof.get(oneof) ?? new Map()).set(localName, mark));
  }
  const oneofs = [...byOneof].map(([{ localName }, members]) => ({ localName, members }));
  const members = new Set(marks.map(({ field }) => field));
  const carrier = marks.find(({ carriesProgress }) => carriesProgress)?.field;

  return {
    classifyUpdate(message) {
      const fields = message as unknown as Record<string, unknown>;
      let part = result;
      for (const { localName, members } of oneofs) {
        const chosen = fields[localName] as OneofValue;
        const mark = chosen.case === undefined ? undefined : members.get(chosen.case);
        if (mark !== undefined) part = join(part, mark, chosen.value);
      }
      for (const mark of plain) {
        if (isFieldSet(message, mark.field)) part = join(part, mark, fields[mark.field.localName]);
      }
      return part;
    },
    isUpdate: (member) => members.has(member),
    progressUpdate(progress) {
      if (carrier === undefined) return undefined;
      const value = carrier.oneof === undefined ? progress : { case: carrier.localName, value: progress };
      return create(output, { [carrier.oneof?.localName ?? carrier.localName]: value });
    },
  };
}

/** Of several updates in one message the most careful way to keep them wins, and none of its progress is lost. */
function join(before: ResponsePart, mark: Mark, value: unknown): ResponsePart {
  const progress = mark.carriesProgress ? (value as Progress) : progressOf(before);
  if (mark.kind === "progress" && before.kind !== "update") return { kind: "progress", progress: value as Progress };
  const keep = mark.kind === "all" || (before.kind === "update" && before.keep === "all") ? "all" : "latest";
  return progress === undefined ? { kind: "update", keep } : { kind: "update", keep, progress };
}

function progressOf(part: ResponsePart): Progress | undefined {
  return part.kind === "result" ? undefined : part.progress;
}
