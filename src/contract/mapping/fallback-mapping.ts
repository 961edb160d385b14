import { create, type DescMessage, isMessage, type Message } from "@bufbuild/protobuf";
import { isKeyField } from "../idempotency-key.ts";
import type { Workflow } from "../workflow.ts";
import type { AnyConverter } from "./converter.ts";
import { type LostField, type MessageMapping, messageMapping } from "./message-mapping.ts";

/** How a workflow and its fallback understand each other. */
export interface FallbackMapping {
  /** Why the fallback cannot answer for the workflow; with any of these, nothing below may be used. */
  readonly problems: readonly string[];
  /** Of requests, on the way to the fallback. */
  readonly lostInRequest: readonly LostField[];
  /** Of results and updates, on the way back. */
  readonly lostInResponse: readonly LostField[];
  /** What the fallback is asked. @throws whatever its converter throws */
  request(message: Message): Message;
  /** An update of the fallback as the workflow's; undefined where that has nothing like it. @throws as above */
  update(message: Message): Message | undefined;
  /** The fallback's result as the workflow's. @throws Error when it is none, and as above */
  result(message: Message): Message;
}

/** Compares the contracts of two workflows; with a converter, what that takes upon itself is not compared. */
export function fallbackMapping(
  workflow: Workflow,
  fallback: Workflow,
  converter?: Pick<AnyConverter, "request" | "response">,
): FallbackMapping {
  const requests = messageMapping(workflow.input, fallback.input);
  const responses = messageMapping(fallback.output, workflow.output);
  const convertRequest = converting(requests, fallback.input, converter?.request);
  const convertResponse = converting(responses, workflow.output, converter?.response);
  const kindOf = (message: Message): string => workflow.updates.classifyUpdate(message).kind;
  return {
    problems: [
      ...(converter?.request === undefined ? misfits(requests, "request") : []),
      ...(converter?.response === undefined
        ? [...misfits(responses, "response"), ...resultProblems(workflow, fallback)]
        : []),
    ],
    lostInRequest: converter?.request === undefined ? requests.losses.filter(({ field }) => !isKeyField(field)) : [],
    lostInResponse:
      converter?.response === undefined ? responses.losses.filter(({ path, field }) => isTold(path, field)) : [],
    request(message) {
      const converted = convertRequest(message);
      if (converted === undefined) throw new Error("its converter makes no request of this one");
      return converted;
    },
    update(message) {
      const converted = convertResponse(message);
      return converted === undefined || kindOf(converted) === "result" ? undefined : converted;
    },
    result(message) {
      const converted = convertResponse(message);
      if (converted === undefined || kindOf(converted) !== "result") {
        throw new Error(`what ${fallback.name} has answered makes no result of ${workflow.name}`);
      }
      return converted;
    },
  };

  /** Nobody misses the updates of a workflow that has none. */
  function isTold(path: string, field: LostField["field"]): boolean {
    return path.includes(".") || !fallback.updates.isUpdate(field);
  }
}

type Converting = (message: Message) => Message | undefined;

function converting(
  mapping: MessageMapping,
  into: DescMessage,
  own: ((message: Message, mapped: Message) => object | undefined) | undefined,
): Converting {
  if (own === undefined) return (message) => mapping.map(message);
  return (message) => {
    const converted = own(message, mapping.map(message));
    if (converted === undefined || isMessage(converted, into)) return converted;
    return create(into, converted as Record<string, unknown>);
  };
}

function misfits({ misfits }: MessageMapping, what: string): string[] {
  return misfits.map(({ path, message }) => `the field "${path}" of its ${what} ${message}`);
}

/** An answer that arrives empty, or as something else, is none. */
function resultProblems(workflow: Workflow, fallback: Workflow): string[] {
  const members = fallback.output.fields.filter((field) => !fallback.updates.isUpdate(field));
  const taken = members.filter(({ name }) =>
    workflow.output.fields.some((field) => field.name === name && workflow.updates.isUpdate(field)),
  );
  if (taken.length > 0) {
    return taken.map(({ name }) => `"${name}" is its result, and an update in ${workflow.output.typeName}`);
  }
  const names = new Set(workflow.output.fields.map(({ name }) => name));
  if (members.length === 0 || members.some(({ name }) => names.has(name))) return [];
  return [
    `nothing of what it answers would arrive: ${workflow.output.typeName} has no field named ` +
      members.map(({ name }) => `"${name}"`).join(" or "),
  ];
}
