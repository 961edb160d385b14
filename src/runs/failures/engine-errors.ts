import { type Finding, finding } from "./finding.ts";
import type { KnownReason } from "./kinds.ts";
import { promptPatterns, reasonOfMessage } from "./messages.ts";
import { readProperty, readText } from "./read-property.ts";

/** Types of Python's exceptions that say what is wrong (`exception_type` of ComfyUI's `execution_error`). */
const exceptionTypes: ReadonlyMap<string, KnownReason> = new Map([
  ["torch.OutOfMemoryError", "ACCELERATOR_OUT_OF_MEMORY"],
  ["torch.cuda.OutOfMemoryError", "ACCELERATOR_OUT_OF_MEMORY"],
  ["MemoryError", "OUT_OF_MEMORY"],
  ["numpy._core._exceptions._ArrayMemoryError", "OUT_OF_MEMORY"],
  ["numpy.core._exceptions._ArrayMemoryError", "OUT_OF_MEMORY"],
  ["safetensors_rust.SafetensorError", "MODEL_DAMAGED"],
  ["ConnectionRefusedError", "CONNECTION_REFUSED"],
  ["ConnectionResetError", "CONNECTION_LOST"],
  ["BrokenPipeError", "CONNECTION_LOST"],
  ["ConnectionAbortedError", "CONNECTION_LOST"],
  ["TimeoutError", "TIMEOUT"],
  ["PermissionError", "FILE_DENIED"],
  ["comfy.model_management.InterruptProcessingException", "ENGINE_INTERRUPTED"],
]);

/** Inputs of ComfyUI's loaders: a value that is not in their list is a model that is not there. */
const modelInputs = /^((unet|clip|vae|lora|ckpt|model|control_net|style_model|clip_vision)_name\d?|clip_name[1-4])$/;

/** Errors of a whole graph that are no mistake of the graph: the engine lacks something. */
const missingNode: ReadonlySet<string> = new Set(["missing_node_type"]);

/**
 * What an engine said: ComfyUI's `execution_error` and `execution_interrupted` events, or the body of a refused prompt,
 * thrown as they came or as properties of an error.
 */
export function findEngineError(error: unknown): Finding | undefined {
  for (const said of [error, readProperty(error, "data"), readProperty(error, "body")]) {
    const found = executionError(said) ?? refusedPrompt(said);
    if (found !== undefined) {
      return found;
    }
  }
  if (readText(error, "type") === "execution_interrupted") {
    return finding("ENGINE_INTERRUPTED", "execution_interrupted");
  }
  return undefined;
}

function executionError(said: unknown): Finding | undefined {
  const type = readText(said, "exception_type");
  if (type === "") {
    return undefined;
  }
  const known = exceptionTypes.get(type);
  if (known !== undefined) {
    return finding(known, type);
  }
  const node = readText(said, "node_type");
  const failed = finding("ENGINE_FAILED", type);
  return /^\w{1,64}$/.test(node) ? { ...failed, text: `the node ${node} of its engine failed` } : failed;
}

function refusedPrompt(said: unknown): Finding | undefined {
  const type = readText(readProperty(said, "error"), "type");
  const nodeErrors = readProperty(said, "node_errors");
  if (type === "" || nodeErrors === undefined) {
    return undefined;
  }
  if (missingNode.has(type)) {
    return finding("NODE_MISSING", type);
  }
  // A wrong word as well: R has one type for this and for broken graphs.
  const words = readText(readProperty(said, "error"), "message");
  const reason = type === "invalid_prompt" ? reasonOfMessage(words, promptPatterns) : undefined;
  if (reason !== undefined) {
    return finding(reason, type);
  }
  return lacksModel(nodeErrors) ? finding("MODEL_MISSING", "value_not_in_list") : finding("ENGINE_REFUSED", type);
}

function lacksModel(nodeErrors: unknown): boolean {
  return valuesOf(nodeErrors).some((node) =>
    valuesOf(readProperty(node, "errors")).some(
      (problem) =>
        readText(problem, "type") === "value_not_in_list" &&
        modelInputs.test(readText(readProperty(problem, "extra_info"), "input_name")),
    ),
  );
}

/** A graph has a few hundred nodes; nobody needs more of its errors than these. */
const searchedValues = 1000;

function valuesOf(value: unknown): readonly unknown[] {
  return typeof value === "object" && value !== null ? Object.values(value).slice(0, searchedValues) : [];
}

/** The text that an engine gives for its error, for the table of messages. */
export function engineMessage(error: unknown): string {
  return readText(error, "exception_message") || readText(readProperty(error, "data"), "exception_message");
}
