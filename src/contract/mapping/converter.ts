import type { DescMethod, Message, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { workflowName } from "../workflow.ts";

/**
 * Converts between a workflow and a fallback where the names of fields are not enough. Its functions are called again
 * after a restart, so they answer the same for the same message, at once, and change neither argument.
 */
export interface FallbackConverter<Workflow extends DescMethod = DescMethod, Fallback extends DescMethod = DescMethod> {
  /** The method whose place is taken. */
  readonly workflow: Workflow;
  /** The method that takes it. */
  readonly fallback: Fallback;

  /**
   * What the fallback is asked. Gets what the caller has asked, and what the names of fields make of it. Default: that.
   * When it throws, the fallback is passed over.
   */
  request?(
    request: MessageShape<Workflow["input"]>,
    mapped: MessageShape<Fallback["input"]>,
  ): MessageInitShape<Fallback["input"]>;

  /**
   * What callers get of something that the fallback sends: each update, and its result. Gets also what the names of fields
   * make of it. Undefined leaves an update out. Default: what the names make of it.
   */
  response?(
    response: MessageShape<Fallback["output"]>,
    mapped: MessageShape<Workflow["output"]>,
  ): MessageInitShape<Workflow["output"]> | undefined;
}

/** A converter whose types nobody knows any more. */
export interface AnyConverter {
  /** Their names as workflows. */
  readonly workflow: string;
  readonly fallback: string;
  readonly request?: (request: Message, mapped: Message) => object;
  readonly response?: (response: Message, mapped: Message) => object | undefined;
}

/** By the names that policies call them by. */
export type Converters = ReadonlyMap<string, AnyConverter>;

/** @throws TypeError for functions that are none */
export function anyConverter<W extends DescMethod, F extends DescMethod>(
  converter: FallbackConverter<W, F>,
): AnyConverter {
  const { workflow, fallback, request, response } = converter as unknown as Untyped;
  for (const [name, one] of Object.entries({ request, response })) {
    if (one !== undefined && typeof one !== "function") {
      throw new TypeError(`the ${name} of a converter from ${workflowName(workflow)} is no function`);
    }
  }
  return {
    workflow: workflowName(workflow),
    fallback: workflowName(fallback),
    ...(request === undefined ? {} : { request: request.bind(converter) }),
    ...(response === undefined ? {} : { response: response.bind(converter) }),
  };
}

interface Untyped extends Pick<AnyConverter, "request" | "response"> {
  readonly workflow: DescMethod;
  readonly fallback: DescMethod;
}
