import { create, type DescMessage, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { type Any, anyPack, type Duration, DurationSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Quality } from "../../gen/retake/v1/options_pb.js";
import { keyInField } from "./key-field.ts";
import { messageDecoder } from "./result-decoder.ts";
import {
  type CallOptions,
  createRunHandle,
  type HandleSettings,
  type RunHandle,
  type WorkflowMethod,
} from "./run-handle.ts";

export interface StartOptions extends CallOptions {
  /**
   * Starting again with the same key and input joins the run. Default: the one in the input's marked field, else a random
   * one; "" for none, and then the call is not repeated when the server is away.
   */
  readonly idempotencyKey?: string;
  /** Higher goes first, from -100 to 100. Default: 0. */
  readonly priority?: number;
  /** The least quality to settle for. Default: MINIMAL. */
  readonly minQuality?: Quality;
  /** The run expires this many ms after its acceptance, where its policy does not let it expire before. */
  readonly timeoutMs?: number;
  /** Where the run's end is posted to, signed; the server's operator allows URLs. Default: where its policy says. */
  readonly notifyUrl?: string;
}

/** @throws ConnectError when the input cannot be encoded, or the server refuses it */
export async function startRun<I extends DescMessage, O extends DescMessage>(
  settings: HandleSettings,
  method: WorkflowMethod<I, O>,
  input: MessageInitShape<I>,
  options: StartOptions,
): Promise<RunHandle<MessageShape<O>>> {
  const { signal, timeoutMs, priority, minQuality, notifyUrl } = options;
  const workflow = `${method.parent.typeName}/${method.name}`;
  const message = encode(workflow, method.input, input);
  const givenKey = options.idempotencyKey ?? (keyInField(method.input, input) || undefined);
  const { run, joined } = await settings.runs.startRun(
    {
      workflow,
      input: { case: "message", value: message },
      idempotencyKey: givenKey ?? settings.newKey(),
      ...(priority === undefined ? {} : { priority }),
      ...(minQuality === undefined ? {} : { minQuality }),
      ...(timeoutMs === undefined ? {} : runTimeout(timeoutMs)),
      ...(notifyUrl === undefined ? {} : { notifyUrl }),
    },
    { timeoutMs: settings.callTimeoutMs, ...(signal === undefined ? {} : { signal }) },
  );
  return createRunHandle(settings, {
    id: run?.runId ?? "",
    // Nobody else has a random key: what it joined is the first try of this very call.
    joined: joined && givenKey !== undefined,
    decode: messageDecoder(method.output),
    run,
  });
}

function encode<I extends DescMessage>(workflow: string, schema: I, input: MessageInitShape<I>): Any {
  try {
    return anyPack(schema, create(schema, input));
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    const message = `the input of ${workflow} is no ${schema.typeName}: ${problem}`;
    throw new ConnectError(message, Code.InvalidArgument, undefined, undefined, cause);
  }
}

function runTimeout(timeoutMs: number): { readonly timeout?: Duration } {
  if (!(timeoutMs > 0)) throw new TypeError(`timeoutMs: a number of milliseconds above 0, not ${timeoutMs}`);
  if (timeoutMs === Number.POSITIVE_INFINITY) return {};
  const seconds = Math.floor(timeoutMs / 1000);
  const nanos = Math.round((timeoutMs - seconds * 1000) * 1e6);
  return { timeout: create(DurationSchema, { seconds: BigInt(seconds), nanos: Math.min(nanos, 999_999_999) }) };
}
