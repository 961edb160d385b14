import {
  create,
  createFileRegistry,
  type DescMessage,
  getOption,
  hasOption,
  type Registry,
  setExtension,
} from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, MessageOptionsSchema } from "@bufbuild/protobuf/wkt";
import { CompilationError, createValidator, type Validator } from "@bufbuild/protovalidate";
import {
  type FieldRules,
  field as fieldOption,
  MessageRulesSchema,
  message as messageOption,
  predefined,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import type { ContractProblem } from "./contract-error.ts";
import { reachableMessages } from "./reachable-messages.ts";
import { standardFiles } from "./standard-files.ts";

/**
 * The validation rules of requests that cannot be compiled. protovalidate compiles a rule when it first meets a value
 * for it, which would make a broken one the caller's problem.
 */
export function ruleProblems(
  inputs: Iterable<DescMessage>,
  { types, validator }: { readonly types: Registry; readonly validator: Validator },
): ContractProblem[] {
  const problems = new Map<string, ContractProblem>();
  const report = (where: string, message: string): void => {
    // A type's rules are part of every type that holds it: one report is enough.
    if (!problems.has(message)) problems.set(message, { where, message });
  };
  const probes = createValidator();
  const messages = new Set([...inputs].flatMap((input) => [...reachableMessages(input)]));
  for (const message of [...messages].reverse()) {
    const { error } = validator.validate(message, create(message));
    if (error instanceof CompilationError && !isExpressionProblem(error)) {
      report(message.typeName, `has a rule that does not fit: ${error.message}`);
    }
    for (const { where, expression, source } of expressionsOf(message)) {
      const trouble = compileProblem(probes, expression);
      if (trouble !== undefined) report(where, `has the rule ${source}, which is no valid expression: ${trouble}`);
    }
  }
  for (const type of types) {
    // What comes with the server is no contract's doing.
    if (type.kind !== "extension" || standardFiles.has(type.file.proto.name)) continue;
    for (const { id, expression } of getOption(type, predefined).cel) {
      const trouble = compileProblem(probes, expression);
      if (trouble !== undefined) {
        report(type.typeName, `has the rule ${quoted(id, expression)}, which is no valid expression: ${trouble}`);
      }
    }
  }
  return [...problems.values()];
}

/** Expressions are tried one by one: here only the first of them would be named. */
function isExpressionProblem(error: CompilationError): boolean {
  return error.message.startsWith("failed to compile");
}

interface RuleExpression {
  readonly where: string;
  /** CEL that compiles exactly if the rule does. */
  readonly expression: string;
  /** The rule as its author knows it. */
  readonly source: string;
}

function* expressionsOf(message: DescMessage): Iterable<RuleExpression> {
  if (hasOption(message, messageOption)) yield* celOf(message.typeName, getOption(message, messageOption));
  for (const field of message.fields) {
    if (hasOption(field, fieldOption)) {
      yield* fieldExpressions(`${message.typeName}.${field.name}`, getOption(field, fieldOption));
    }
  }
}

function* fieldExpressions(where: string, rules: FieldRules | undefined): Iterable<RuleExpression> {
  if (rules === undefined) return;
  yield* celOf(where, rules);
  switch (rules.type.case) {
    case "string":
    case "bytes": {
      const { pattern } = rules.type.value;
      if (pattern !== "") {
        yield {
          where,
          expression: `''.matches(${JSON.stringify(pattern)})`,
          source: `pattern: ${JSON.stringify(pattern)}`,
        };
      }
      break;
    }
    case "repeated":
      yield* fieldExpressions(where, rules.type.value.items);
      break;
    case "map":
      yield* fieldExpressions(where, rules.type.value.keys);
      yield* fieldExpressions(where, rules.type.value.values);
      break;
  }
}

function* celOf(where: string, rules: Pick<FieldRules, "cel" | "celExpression">): Iterable<RuleExpression> {
  for (const { id, expression } of rules.cel) yield { where, expression, source: quoted(id, expression) };
  for (const expression of rules.celExpression) yield { where, expression, source: quoted("", expression) };
}

function quoted(id: string, expression: string): string {
  return id === "" ? `\`${expression}\`` : `"${id}", \`${expression}\``;
}

/**
 * Why an expression cannot be compiled. It is evaluated as the one rule of an empty message, so that nothing comes
 * before it; that it does not find its fields there says nothing against it.
 */
function compileProblem(probes: Validator, expression: string): string | undefined {
  const probe = probeWith(expression);
  const { error } = probes.validate(probe, create(probe));
  if (error === undefined) return undefined;
  const reason = error.message.replace(/^failed to compile probe: (Error: )?/, "");
  // Functions are looked up, and constant patterns compiled, when they are called.
  const broken = error instanceof CompilationError || /^(unbound function|error parsing regexp)/.test(reason);
  return broken ? reason : undefined;
}

function probeWith(expression: string): DescMessage {
  const options = create(MessageOptionsSchema);
  setExtension(options, messageOption, create(MessageRulesSchema, { cel: [{ id: "probe", expression }] }));
  const file = create(FileDescriptorProtoSchema, {
    name: "probe.proto",
    syntax: "proto3",
    messageType: [{ name: "Probe", options }],
  });
  const probe = createFileRegistry(file, () => undefined).getMessage("Probe");
  if (probe === undefined) throw new Error("a file that declares Probe has no Probe");
  return probe;
}
