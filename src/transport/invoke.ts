import type { DescMethod, Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type Interceptor, type StreamResponse, type UnaryResponse } from "@connectrpc/connect";
import { interceptStream, interceptUnary } from "./interceptors.ts";
import { completeMessage } from "./message-codec.ts";
import { methodName, onlyMessage } from "./method.ts";
import { passMessages } from "./pass-messages.ts";
import {
  createContext,
  createStreamRequest,
  createStreamResponse,
  createUnaryRequest,
  createUnaryResponse,
  type ServerCall,
  type StreamMethodSpec,
  type UnaryMethodSpec,
} from "./server-call.ts";

/**
 * Runs a unary implementation inside its interceptors. `readMessage` decodes the request and may throw. May throw as well
 * as reject: an async function more would cost every call.
 */
export function invokeUnary(
  call: ServerCall,
  spec: UnaryMethodSpec,
  readMessage: () => Message,
  interceptors: readonly Interceptor[],
): Promise<UnaryResponse> {
  const handle = interceptUnary(interceptors, async (request) => {
    const output = await spec.impl(request.message, createContext(call, request));
    return createUnaryResponse(call, spec, completeOutput(spec.method, output));
  });
  return handle(createUnaryRequest(call, spec, readMessage));
}

/** Runs a streaming implementation inside its interceptors. Its messages are pulled by whoever iterates the response. */
export async function invokeStream(
  call: ServerCall,
  spec: StreamMethodSpec,
  messages: AsyncIterable<Message>,
  interceptors: readonly Interceptor[],
): Promise<StreamResponse> {
  const handle = interceptStream(interceptors, async (request) => {
    const context = createContext(call, request);
    switch (spec.kind) {
      case "server_streaming": {
        const output = spec.impl(
          await onlyMessage(request.message, `request of ${methodName(spec.method)}`, Code.Unimplemented),
          context,
        );
        return createStreamResponse(call, spec, completeOutputs(spec.method, output));
      }
      case "client_streaming": {
        const output = await spec.impl(request.message, context);
        return createStreamResponse(call, spec, single(completeOutput(spec.method, output)));
      }
      case "bidi_streaming": {
        const output = spec.impl(request.message, context);
        return createStreamResponse(call, spec, completeOutputs(spec.method, output));
      }
    }
  });
  return await handle(createStreamRequest(call, spec, messages));
}

function completeOutput(method: DescMethod, output: unknown): Message {
  return completeMessage(method, "response", output, Code.Internal);
}

/** Completes each message; an abandoned implementation can clean up. */
function completeOutputs(method: DescMethod, outputs: AsyncIterable<unknown>): AsyncIterable<Message> {
  if (typeof outputs?.[Symbol.asyncIterator] !== "function") {
    throw new ConnectError(
      `the implementation of ${methodName(method)} returned no async iterable: make it an async generator`,
      Code.Internal,
    );
  }
  return passMessages(outputs, { map: (output) => completeOutput(method, output) });
}

async function* single(message: Message): AsyncGenerator<Message> {
  yield message;
}
