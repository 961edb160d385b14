import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect } from "vitest";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";

/** Whether a call was refused for the moment: UNAVAILABLE, with the reason and with the time after which to call again. */
export async function expectUnavailable(call: Promise<unknown>, reason: string): Promise<void> {
  const error = await call.then(
    () => expect.unreachable("the call was answered"),
    (thrown: unknown) => ConnectError.from(thrown),
  );
  expect(Code[error.code], error.message).toBe("Unavailable");
  expect(error.findDetails(ErrorInfoSchema)).toMatchObject([{ reason }]);
  const [retry] = error.findDetails(RetryInfoSchema);
  expect(retry?.retryDelay && durationMs(retry.retryDelay)).toBeGreaterThan(0);
}
