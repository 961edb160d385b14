import { Code, ConnectError } from "@connectrpc/connect";
import { Metadata } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import {
  addLegalHeaders,
  headersFromMetadata,
  metadataBytes,
  metadataFromHeaders,
} from "../../src/transport/metadata.ts";

test("metadata survives the way to headers and back", () => {
  const metadata = new Metadata();
  metadata.add("x-text", "a, b");
  metadata.add("x-bytes-bin", Buffer.from([0, 255]));
  metadata.add("x-bytes-bin", Buffer.from([1]));
  metadata.add("x-empty", "");
  metadata.add("x-empty-bin", Buffer.alloc(0));
  const headers = headersFromMetadata(metadata);
  expect([...headers]).toEqual([
    ["x-bytes-bin", "AP8, AQ"],
    ["x-empty", ""],
    ["x-empty-bin", ""],
    ["x-text", "a, b"],
  ]);
  expect(metadataFromHeaders(headers, Code.Internal).getMap()).toEqual(metadata.getMap());
  expect(metadataFromHeaders(headers, Code.Internal).get("x-bytes-bin")).toEqual([
    Buffer.from([0, 255]),
    Buffer.from([1]),
  ]);
});

test.each(["connection", "content-type", "grpc-status", "grpc-timeout", "te", "transfer-encoding"])(
  "%s is left out",
  (name) => {
    expect(metadataFromHeaders(new Headers([[name, "x"]]), Code.Internal).getMap()).toEqual({});
  },
);

test.each([
  ["x-a", "caf\u00e9"],
  ["x-a", "tab\there"],
  ["x-a-bin", "AA=A"],
  ["x-a-bin", "A_-A"],
  ["x+a", "1"],
])("%s: %j is refused by name", (name, value) => {
  const convert = () => metadataFromHeaders(new Headers([[name, value]]), Code.InvalidArgument);
  expect(convert).toThrow(ConnectError);
  expect(convert).toThrow(`"${name}"`);
});

test("for errors, what is illegal is left out and the rest kept", () => {
  const metadata = new Metadata();
  addLegalHeaders(metadata, new Headers({ "x-a": "caf\u00e9", "x-b": "fine", "x-c-bin": "!" }));
  expect(metadata.getMap()).toEqual({ "x-b": "fine" });
});

test("sizes count names, values as sent, and 32 bytes a field", () => {
  const metadata = new Metadata();
  expect(metadataBytes(metadata)).toBe(0);
  metadata.add("abc", "12345");
  expect(metadataBytes(metadata)).toBe(3 + 5 + 32);
  metadata.add("abc", "");
  expect(metadataBytes(metadata)).toBe(40 + 3 + 32);
  metadata.add("d-bin", Buffer.alloc(300));
  expect(metadataBytes(metadata)).toBe(75 + 5 + 400 + 32);
});
