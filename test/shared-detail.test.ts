import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { encodeDetail, shareDetail } from "../src/shared-detail.ts";
import { TransportErrorDetailSchema } from "./gen/retake/test/v1/transport_pb.js";

test("a shared detail is encoded once, as any other", () => {
  const shared = shareDetail(TransportErrorDetailSchema, { reason: "r" });
  expect(encodeDetail(shared)).toEqual(
    toBinary(TransportErrorDetailSchema, create(TransportErrorDetailSchema, { reason: "r" })),
  );
  expect(encodeDetail(shared)).toBe(encodeDetail(shared));
});

test("a shared detail is found in each error that has it, and what is found is that error's own", () => {
  const shared = shareDetail(TransportErrorDetailSchema, { reason: "r" });
  const [first, second] = [1, 2].map(() => {
    const error = new ConnectError("why", Code.Unavailable);
    error.details.push(shared);
    return error.findDetails(TransportErrorDetailSchema)[0];
  });
  expect(first).toEqual(second);
  expect(first).not.toBe(second);
});

test("a detail that is not shared is encoded as it is at the time", () => {
  const value = { reason: "before" };
  const detail = { desc: TransportErrorDetailSchema, value };
  const before = encodeDetail(detail);
  value.reason = "after";
  expect(encodeDetail(detail)).not.toEqual(before);
});

test("a detail that came encoded stays so", () => {
  const value = new Uint8Array([8, 1]);
  expect(encodeDetail({ type: "a.B", value })).toBe(value);
});
