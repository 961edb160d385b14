import { Metadata } from "@grpc/grpc-js";
import { expect, it } from "vitest";
import { GrpcServerCall, type GrpcSurface } from "../../src/transport/grpc-server-call.ts";

/** What grpc-js gives a handler whose caller has cancelled its call before the handler could be told. */
const forsaken = {
  cancelled: false,
  call: { cancelled: true },
  metadata: new Metadata(),
  getDeadline: () => Number.POSITIVE_INFINITY,
  once: () => undefined,
} as unknown as GrpcSurface;

it("a call that was cancelled before grpc-js had a surface to tell is over as soon as it is watched", () => {
  const call = new GrpcServerCall(forsaken, 16_384, true);
  let over = 0;
  call.watch(() => over++);
  expect([over, call.ended, call.signal.aborted]).toEqual([1, true, true]);
});
