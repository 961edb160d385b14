import type { Interceptor, StreamRequest, StreamResponse, UnaryRequest, UnaryResponse } from "@connectrpc/connect";

type AnyCall = Parameters<Interceptor>[0];

/** Wraps a unary call in interceptors, the first listed outermost. Like Connect, to be done anew for each call. */
export function interceptUnary(
  interceptors: readonly Interceptor[],
  call: (request: UnaryRequest) => Promise<UnaryResponse>,
): (request: UnaryRequest) => Promise<UnaryResponse> {
  return intercept(interceptors, call as AnyCall) as (request: UnaryRequest) => Promise<UnaryResponse>;
}

/** Wraps a streaming call in interceptors, the first listed outermost. Like Connect, to be done anew for each call. */
export function interceptStream(
  interceptors: readonly Interceptor[],
  call: (request: StreamRequest) => Promise<StreamResponse>,
): (request: StreamRequest) => Promise<StreamResponse> {
  return intercept(interceptors, call as AnyCall) as (request: StreamRequest) => Promise<StreamResponse>;
}

function intercept(interceptors: readonly Interceptor[], call: AnyCall): AnyCall {
  let next = call;
  for (let i = interceptors.length - 1; i >= 0; i--) {
    const interceptor = interceptors[i];
    if (interceptor !== undefined) {
      next = interceptor(next);
    }
  }
  return next;
}
